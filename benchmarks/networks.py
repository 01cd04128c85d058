"""Networks in files, for the benchmarks."""

from pathlib import Path

import keras

from goodnet.networks.loading import load_network
from goodnet.vetting import quarantine


def load_model(path: Path) -> keras.Model:
    """Load a network that nothing is to be copied from."""
    with quarantine.opened([path], []) as held:
        return load_network(held.network(path)).model
