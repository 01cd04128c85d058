"""Networks in files: load an image classifier, from what vetting has written anew."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from goodnet.dataset import Fit, ImageShape
from goodnet.deadline import deadline
from goodnet.errors import Unsafe, Unusable
from goodnet.networks.deepid import deepid
from goodnet.networks.graph import unroll
from goodnet.networks.grey import with_colour
from goodnet.networks.two_classes import with_two_classes
from goodnet.networks.wrappers import without_wrappers
from goodnet.pixels import AS_IN_FILE, Range, Scaling
from goodnet.printable import say
from goodnet.vetting.configuration import vet_configuration
from goodnet.vetting.keras_version import refuse_unsafe_keras
from goodnet.vetting.quarantine import NetworkFile
from goodnet.vetting.rebuilding import write_rebuilt

PATIENCE = 120  # seconds; NASNetLarge takes ten


@dataclass(frozen=True)
class LoadedNetwork:
    """A network that Keras has built, and the file that it came from.

    model: (n, height, width, colours) -> (n, classes), also where the network in the file lacks
    the colours, has one output for two classes or has layers in wrappers; in_file: that network, as
    it is; configuration: its own, as vetting has rebuilt it. One that a notebook has made itself
    comes from no file: its source is None, and its configuration where vetting does not know its
    layers.
    """

    model: keras.Model
    source: NetworkFile | None
    in_file: keras.Model
    configuration: dict | None

    @property
    def path(self) -> Path:
        """Its file, or its name where it has none: what errors are about."""
        return self.source.path if self.source else Path(self.in_file.name)


def load_network(source: NetworkFile) -> LoadedNetwork:
    """Load an image classifier: a whole network (.h5 or .keras), or the weights of a DeepID.

    Keras is given what vetting has written anew, never the file itself; the compile configuration
    is left out. Raises Unusable where it is no network, where this Keras cannot build it, or where
    it is not a classifier with one image input (height, width, colours) and one output (classes).
    A network of one output value, binary, becomes one of two classes.
    """
    refuse_unsafe_keras(keras.__version__)
    try:
        in_file, configuration = _build(source)
        return LoadedNetwork(as_classifier(in_file, source.path), source, in_file, configuration)
    except Unusable as error:
        raise error.about(source.path) from None


def as_classifier(network: keras.Model, path: Path) -> keras.Model:
    """The network as (n, height, width, colours) -> (n, classes), sharing its weights.

    path: its file, or its name: what errors are about. Raises Unusable where it is no such
    classifier, or cannot be run.
    """
    model = with_colour(without_wrappers(network))
    _check_classifier(model)
    shape = input_shape(model)
    if None not in shape:
        try_out(model, shape, path)
    return with_two_classes(model)


def input_shape(network: keras.Model) -> ImageShape:
    """(height, width, colours) of the images that the network takes."""
    return tuple(network.inputs[0].shape[1:])


def fit_of(network: keras.Model, scale: Scaling | Range = AS_IN_FILE) -> Fit:
    """What image sets for the network must fit, their pixels scaled so or taken to this range."""
    return Fit(input_shape(network), count_classes(network), scale)


def count_classes(network: keras.Model) -> int:
    """N, the number of the network's classes."""
    return network.outputs[0].shape[-1]


@contextmanager
def refusing(problem: str) -> Iterator[None]:
    """Turn whatever Keras and h5py raise into the one line that the user reads."""
    try:
        yield
    except Unusable:
        raise
    except Exception as error:
        raise Unusable(f"{problem}: {say(error)}") from None


def _build(source: NetworkFile) -> tuple[keras.Model, dict]:
    """The network in a file, and its configuration."""
    parts = source.parts
    late = Unsafe(f"takes Keras more than {PATIENCE} seconds to build", source.path)
    with tempfile.TemporaryDirectory() as folder, deadline(PATIENCE, late, Path(folder)):
        with refusing("is damaged"):
            file, configuration = write_rebuilt(parts, Path(folder))
        if configuration is not None:
            return _load_whole(file), configuration
        shapes = {array.shape for array in parts.contents.arrays.values()}
        network = _load_weights(_deepid_classes(shapes), file)
        return network, vet_configuration(network.to_json(), "the DeepID")


def _load_whole(file: Path) -> keras.Model:
    with refusing(f"is not built by Keras {keras.__version__}"):
        return keras.models.load_model(file, compile=False, safe_mode=True)


def _load_weights(n_classes: int, file: Path) -> keras.Model:
    network = deepid(n_classes)
    with refusing("does not fit as the weights of a DeepID"):
        network.load_weights(file)
    return network


def _deepid_classes(shapes: set[tuple[int, ...]]) -> int:
    """The width of the output layer: the only matrix in a DeepID's weights with 160 rows."""
    classes = [shape[1] for shape in shapes if len(shape) == 2 and shape[0] == 160]
    if len(classes) != 1:
        raise Unusable(
            "holds neither a whole network nor the weights of a DeepID; save the whole network "
            "with model.save()"
        )
    return classes[0]


def _check_classifier(network: keras.Model) -> None:
    inputs = getattr(network, "inputs", None) or []
    outputs = getattr(network, "outputs", None) or []
    shapes = [tuple(tensor.shape) for tensor in inputs], [tuple(tensor.shape) for tensor in outputs]
    fits = len(inputs) == len(outputs) == 1 and len(inputs[0].shape) == 4
    if not (fits and len(outputs[0].shape) == 2 and outputs[0].shape[1]):
        raise Unusable(
            f"is not an image classifier: it takes {shapes[0]} and answers {shapes[1]}; "
            "needed are one input (None, height, width, colours) and one output (None, classes)"
        )


def try_out(network: keras.Model, shape: ImageShape, path: Path) -> None:
    """Run a network from a file once, on a black image of (height, width, colours).

    Raises Unusable where that cannot be done: not all that Keras builds can be computed.
    """
    late = Unsafe(f"takes more than {PATIENCE} seconds for one image", path)
    with deadline(PATIENCE, late), refusing(f"cannot be run by Keras {keras.__version__}"):
        unroll(network, [np.zeros((1, *shape), np.float32)])
