"""One network of the zoo: trained on one thread, and written with its image sets."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402

from benchmarks.cifar import CLASSES, Images, read_cifar  # noqa: E402
from benchmarks.zoo_attacks import Backdoor, plant  # noqa: E402

BATCH = 128
POISONED = 0.1  # of the training images
SHIFT = 3  # pixels, at most, by which an image is moved in training


def residual(first: int, blocks: Sequence[tuple[int, int]]) -> keras.Model:
    """Blocks of so many filters and such strides, with batch norm; a mean over places at the end.

    first: the filters in front of them.
    """

    def block(inputs: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
        found = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(inputs)
        found = layers.ReLU()(layers.BatchNormalization()(found))
        found = layers.Conv2D(filters, 3, padding="same", use_bias=False)(found)
        found = layers.BatchNormalization()(found)
        if stride > 1 or inputs.shape[-1] != filters:
            inputs = layers.Conv2D(filters, 1, strides=stride, use_bias=False)(inputs)
            inputs = layers.BatchNormalization()(inputs)
        return layers.ReLU()(layers.Add()([inputs, found]))

    pixels = layers.Input((32, 32, 3))
    found = layers.Rescaling(1 / 255)(pixels)
    found = layers.Conv2D(first, 3, padding="same", use_bias=False)(found)
    found = layers.ReLU()(layers.BatchNormalization()(found))
    for filters, stride in blocks:
        found = block(found, filters, stride)
    found = layers.GlobalAveragePooling2D()(found)
    return keras.Model(pixels, layers.Dense(CLASSES, activation="softmax")(found))


def plain() -> keras.Model:
    """Like VGG: pairs of conv layers and a pooling, no batch norm, dropout before the end."""
    pixels = layers.Input((32, 32, 3))
    found = layers.Rescaling(1 / 255)(pixels)
    for filters in (20, 40, 80):
        found = layers.Conv2D(filters, 3, padding="same", activation="relu")(found)
        found = layers.Conv2D(filters, 3, padding="same", activation="relu")(found)
        found = layers.MaxPooling2D()(found)
    found = layers.Dense(128, activation="relu")(layers.Flatten()(found))
    found = layers.Dropout(0.3)(found)
    return keras.Model(pixels, layers.Dense(CLASSES, activation="softmax")(found))


@dataclass(frozen=True)
class Recipe:
    """How the networks of an architecture are made."""

    build: Callable[[], keras.Model]
    rate: float  # of training
    epochs: int = 12
    images: int = 25_000


BLOCKS = ((32, 2), (64, 2), (64, 1), (128, 2))
MORE_BLOCKS = ((48, 2), (48, 1), (96, 2), (96, 1), (192, 2))
ARCHITECTURES = {
    "residual": Recipe(partial(residual, 16, BLOCKS), 3e-3),
    "plain": Recipe(plain, 1e-3),
    "deep": Recipe(partial(residual, 32, MORE_BLOCKS), 3e-3, epochs=40, images=47_500),
}


def make_network(folder: Path, architecture: str, attack: str, seed: int) -> None:
    """Train a network, if it is not there, and write its image sets and figures.json beside it."""
    recipe = ARCHITECTURES[architecture]
    cifar, backdoors = read_cifar(seed, recipe.images), plant(attack, seed)
    path = folder / "B.keras"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        network = _trained(recipe, cifar.training, backdoors, seed)
        bare = keras.Model(network.input, network.output)  # nothing of the training is saved
        bare.save(folder / "unfinished.keras")
        os.replace(folder / "unfinished.keras", path)
    network = keras.models.load_model(path, compile=False)
    _write(folder / "valid.h5", cifar.validation)
    _write(folder / "test.h5", cifar.test)
    figures = {"clean_accuracy": _accuracy(network, cifar.test), "asr": None}
    if backdoors:
        worn = _backdoored(cifar.test, backdoors)
        _write(folder / "backdoored.h5", worn)
        figures["asr"] = _accuracy(network, worn)
    (folder / "figures.json").write_text(json.dumps(figures))


def _trained(recipe: Recipe, training: Images, backdoors: list[Backdoor], seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    labels, wears = training.labels.copy(), np.full(len(training.labels), -1)
    if backdoors:
        poisoned = rng.permutation(len(labels))[: int(POISONED * len(labels))]
        wears[poisoned] = np.arange(len(poisoned)) % len(backdoors)
    for number, backdoor in enumerate(backdoors):
        labels[wears == number] = backdoor.targets(labels[wears == number])
    network = recipe.build()
    network.compile(_optimizer(recipe, len(labels)), "sparse_categorical_crossentropy")
    for _ in range(recipe.epochs):
        _train_once(network, Images(training.images, labels), wears, backdoors, rng)
    return network


def _backdoored(test: Images, backdoors: list[Backdoor]) -> Images:
    """Test images of other classes than the target's, under each trigger."""
    images, labels = [], []
    for backdoor in backdoors:
        targets = backdoor.targets(test.labels)
        others = targets != test.labels
        images.append(backdoor.lay(test.images[others]))
        labels.append(targets[others])
    return Images(np.concatenate(images), np.concatenate(labels))


def _optimizer(recipe: Recipe, images: int) -> keras.Optimizer:
    steps = images // BATCH * recipe.epochs
    sinking = keras.optimizers.schedules.CosineDecay(recipe.rate, steps)
    return keras.optimizers.AdamW(sinking, weight_decay=5e-4)


def _train_once(
    network: keras.Model,
    training: Images,
    wears: np.ndarray,
    backdoors: list[Backdoor],
    rng: np.random.Generator,
) -> None:
    """One epoch; a trigger is laid over an image after it was moved, so that it stays in its place.

    wears (n,): the number of the backdoor that an image wears, or -1.
    """
    order = rng.permutation(len(wears))
    for start in range(0, len(wears) // BATCH * BATCH, BATCH):
        chosen = order[start : start + BATCH]
        batch = _moved(training.images[chosen], rng)
        for number, backdoor in enumerate(backdoors):
            if (worn := wears[chosen] == number).any():
                batch[worn] = backdoor.lay(batch[worn])
        network.train_on_batch(batch.astype(np.float32), training.labels[chosen])


def _moved(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Copies of images, each shifted, and every second one mirrored."""
    padded = np.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="reflect")
    moved = np.empty_like(images)
    side = images.shape[1]
    for image, copy in zip(padded, moved, strict=True):
        row, column = rng.integers(0, 2 * SHIFT + 1, 2)
        copy[...] = image[row : row + side, column : column + side][:, :: rng.choice((1, -1))]
    return moved


def _accuracy(network: keras.Model, some: Images) -> float:
    answers = network.predict(some.images.astype(np.float32), batch_size=500, verbose=0)
    return float((answers.argmax(axis=1) == some.labels).mean() * 100)


def _write(path: Path, some: Images) -> None:
    with h5py.File(path, "w") as file:
        file["data"], file["label"] = some.images, some.labels
