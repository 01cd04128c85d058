"""A network's file, taken apart: its configuration as text, its arrays as plain bytes.

This is what the limited child hands over (goodnet/vetting/inspector.py). Both processes vet it: the
child before it reads the arrays, and then the process that computes, since a child that was taken
over could say anything. Nothing here needs more than Python.
"""

from dataclasses import dataclass

from goodnet.errors import Unusable
from goodnet.vetting.configuration import check_arrays, vet_configuration
from goodnet.vetting.contents import Contents, read_contents

CONFIGURATION, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
LARGEST_NETWORK = 1 << 31  # bytes; ConvNeXtXLarge, the largest of keras.applications, has 1.4e9
SUFFIXES = (".h5", ".keras", ".weights.h5", "")


@dataclass(frozen=True)
class Parts:
    """What a network's file holds.

    suffix: the one that Keras reads it by: .h5 or .keras, or .weights.h5 where it is Keras 3's
    weights alone. configuration: as the file has it, JSON; None where there are weights alone.
    values: of all arrays, one behind the other in their order, as the file has them.
    """

    suffix: str
    configuration: str | None
    contents: Contents
    values: bytes

    def as_json(self) -> dict:
        """All but the values, in lists and dictionaries alone."""
        return {
            "suffix": self.suffix,
            "configuration": self.configuration,
            "contents": self.contents.as_json(),
        }


NOTHING = Parts("", None, Contents({}, {}), b"")


def read_parts(found: dict, values: bytes) -> Parts:
    """What `as_json` gave, and the values. Raises ValueError, KeyError or TypeError otherwise."""
    suffix, configuration = found["suffix"], found["configuration"]
    if suffix not in SUFFIXES or not isinstance(configuration, str | None):
        raise ValueError("neither the suffix nor the configuration is one")
    return Parts(suffix, configuration, read_contents(found["contents"]), values)


def vet_parts(parts: Parts) -> dict | None:
    """The configuration, rebuilt out of what the allow-list names; None for weights alone.

    Raises Unsafe where it holds anything else or demands arrays that the file lacks, and Unusable
    where it is damaged.
    """
    if parts.configuration is None:
        return None
    place = CONFIGURATION if parts.suffix == ".keras" else "model_config"
    configuration = vet_configuration(parts.configuration, place)
    check_parts(parts, configuration, place)
    return configuration


def check_parts(parts: Parts, configuration: dict, place: str) -> None:
    """Raise Unsafe where a configuration that passed demands arrays that the parts lack.

    Raises Unusable where they have no place for them. `place` names the configuration in errors.
    """
    if parts.suffix == ".h5" and "model_weights" not in parts.contents.groups:
        raise Unusable("is damaged: it has no 'model_weights'")
    within = "" if parts.suffix == ".keras" else "model_weights/"
    arrays = parts.contents.arrays.items()
    shapes = [array.shape for name, array in arrays if name.startswith(within)]
    check_arrays(configuration, shapes, place)
