"""The version: what `--version` prints, and what the package is installed as."""

VERSION = "0.1.0"
