"""Networks in a notebook: from a file or made there, never changed in place."""

import os
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import keras
import numpy as np

from goodnet.cli import shell
from goodnet.cli.libraries import our_settings
from goodnet.cli.values import describe_values
from goodnet.errors import Unsafe, Unusable
from goodnet.files import check_output, refuse_inputs
from goodnet.front.telling import warn
from goodnet.networks import loading
from goodnet.networks.goodnet import goodnet_network, refuse_goodnet
from goodnet.networks.graph import copy_network
from goodnet.networks.loading import LoadedNetwork, as_classifier, refusing
from goodnet.networks.writing import write_network, write_weights
from goodnet.vetting import quarantine
from goodnet.vetting.configuration import vet_configuration

Network: TypeAlias = LoadedNetwork | keras.Model | str | os.PathLike[str]


@our_settings()
def load_network(path: str | os.PathLike[str]) -> LoadedNetwork:
    """Load a network's file, .h5 or .keras, without trusting it.

    `.in_file` is the keras.Model that the file holds; `.model` is the same, or takes and answers it
    as (n, height, width, colours) -> (n, classes). Raises Unsafe where the file must not be used,
    Unusable where it cannot be.
    """
    loaded = _load(Path(path))
    warn(describe_values(loaded.path, loaded.model))
    return loaded


@our_settings()
def goodnet(model: Network, repaired: Network) -> keras.Model:
    """G of B and B', as a network: (n, height, width, colours) -> (n, N + 1) probabilities.

    Its argmax is the class that B and B' agree on, else N: the image is rejected as backdoored.
    Raises Unusable where B' does not fit B.
    """
    return goodnet_network(*(take_b(each).model for each in (model, repaired)))


@our_settings()
def save(model: Network, path: str | os.PathLike[str], like: Network | None = None) -> None:
    """Write a network's file.

    like: B, as it was loaded, where `model` was made of it. What is written then is a copy of B's
    own file in which only the changed arrays differ, and that loads wherever B's does. Else a
    keras.Model is written as a .keras file. Raises Unusable where that cannot be done.
    """
    path = Path(path)
    if like is None and isinstance(model, keras.Model):
        if path.suffix != ".keras":
            raise Unusable("a new file is a .keras file; with like=B it is a copy of B's own", path)
        check_output(path)
        write_network(model, path)
        return
    made = take(model)
    source = made if like is None else take(like)
    if source.source is None:
        raise Unusable("comes from no file that could be copied", source.path)
    suffix = source.source.parts.suffix
    if path.suffix != suffix:
        raise Unusable(f"is to be a copy of {source.path}, so its name must end in {suffix}", path)
    refuse_inputs([path], [source.path])
    check_output(path)
    arrays = made.in_file.get_weights()
    shapes = [[array.shape for array in each] for each in (arrays, source.in_file.get_weights())]
    if shapes[0] != shapes[1]:
        raise Unusable("has other arrays than the network that is to be saved", source.path)
    write_weights(source, path, arrays)


def take(network: Network) -> LoadedNetwork:
    """A copy of a network, or the network of a file. Raises Unusable or Unsafe where it is none."""
    if isinstance(network, LoadedNetwork):
        copy = copy_of(network.in_file)
        return replace(network, model=as_classifier(copy, network.path), in_file=copy)
    if isinstance(network, str | os.PathLike):
        return _load(Path(network))
    if not isinstance(network, keras.Model):
        raise Unusable(
            f"a network is the path of a file, what load_network gives, or a keras.Model, and not "
            f"{type(network).__module__}.{type(network).__qualname__}"
        )
    name = Path(network.name)
    try:
        copy = copy_of(network)
        return LoadedNetwork(as_classifier(copy, name), None, copy, _configuration_of(copy))
    except Unusable as error:
        raise error.about(name) from None


def _configuration_of(network: keras.Model) -> dict | None:
    """What tells how much memory a network takes; None where it has layers of the user's own."""
    try:
        return vet_configuration(network.to_json(), network.name)
    except (Unusable, Unsafe):
        return None


def take_b(network: Network) -> LoadedNetwork:
    """`take`, of a network that is not a goodnet."""
    loaded = take(network)
    refuse_goodnet(loaded)
    return loaded


def copy_of(network: keras.Model, weights: Sequence[np.ndarray] | None = None) -> keras.Model:
    """A copy of a network that shares nothing with it; its weights, or others in their order."""
    if not network.built:
        raise Unusable("is not built yet; let it begin with keras.Input, or call it on an image")
    with refusing("cannot be copied"):
        return copy_network(network, weights)


def _load(path: Path) -> LoadedNetwork:
    """Load a network's file, which is held for as long as the network is."""
    shell.check_files(path, networks=[path])
    with ExitStack() as files:
        held = files.enter_context(quarantine.opened([path], []))
        loaded = loading.load_network(held.network(path))
        weakref.finalize(loaded, files.pop_all().close)
    return loaded
