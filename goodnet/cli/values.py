"""What is told of networks whose weights are no numbers: they are judged as Keras judges them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goodnet.cli.shell import notice

if TYPE_CHECKING:
    import keras


def remark_on_values(path: Path, network: "keras.Model") -> None:
    """Tell the user where weights of a network are infinite or NaN: its answers mean nothing."""
    if line := describe_values(path, network):
        notice(line)


def describe_values(path: Path, network: "keras.Model") -> str | None:
    """A line that says which weights are infinite or NaN, None where none are."""
    for layer in network.layers:
        for array in layer.get_weights():
            if array.dtype.kind in "fV" and not np.isfinite(array.astype(np.float32)).all():
                return (
                    f"{path}: weights of the layer {layer.name} are infinite or no numbers (NaN), "
                    "so its answers are worth nothing."
                )
    return None
