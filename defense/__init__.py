"""Pruning defense against backdoored image classifiers: the parts the scripts are made of."""
