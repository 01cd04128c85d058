"""The version: what `--version` prints, and what the package is installed as."""

VERSION = "0.1.0"
SCHEMA_VERSION = 1  # of the JSON that the scripts write: docs/json-schema.json
