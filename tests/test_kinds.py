"""Networks of the kinds that people really have: judged, repaired and written back.

The oracle is plain Keras, which loads what was written: for every image it answers what was judged.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from hasty import HASTY, hurry_relearning
from keras import layers

import goodnet
from goodnet.errors import Unusable
from goodnet.tuning import unlearning

SIDE, CLASSES, IMAGES = 32, 4, 40
SHAPE = (SIDE, SIDE, 3)


def augmented(image: keras.KerasTensor) -> keras.KerasTensor:
    return layers.RandomRotation(0.1)(layers.RandomFlip("horizontal")(image))


def classified(features: keras.KerasTensor, units: int = CLASSES) -> keras.KerasTensor:
    return layers.Dense(units, activation="softmax", dtype="float32")(features)


def mobile_net() -> keras.Model:
    made = keras.applications.MobileNetV2
    return made(SHAPE, alpha=0.35, include_top=False, weights=None)


def teachable_machine() -> keras.Model:
    """A Functional network in a Sequential one in a Sequential one, as the site exports it."""
    features = keras.Sequential([mobile_net(), layers.GlobalAveragePooling2D()])
    answer = [layers.Dense(20, activation="relu"), layers.Dense(CLASSES, use_bias=False)]
    classifier = keras.Sequential([keras.Input((1280,)), *answer, layers.Softmax()])
    return keras.Sequential([keras.Input(SHAPE), features, classifier])


def transfer_from_mobile_net() -> keras.Model:
    """As TensorFlow's tutorial of transfer learning has it."""
    image = keras.Input(SHAPE)
    pixels = keras.applications.mobilenet_v2.preprocess_input(augmented(image))
    features = layers.GlobalAveragePooling2D()(mobile_net()(pixels, training=False))
    return keras.Model(image, classified(layers.Dropout(0.2)(features)))


def transfer_from_efficient_net() -> keras.Model:
    image = keras.Input(SHAPE)
    base = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=SHAPE)
    base.trainable = False
    features = layers.GlobalAveragePooling2D()(base(augmented(image)))
    features = layers.BatchNormalization()(features)
    return keras.Model(image, classified(layers.Dropout(0.2)(features)))


def convolved(image: keras.KerasTensor) -> keras.KerasTensor:
    features = layers.MaxPooling2D(4)(layers.Conv2D(6, 3, activation="relu")(image))
    return layers.Flatten()(layers.Conv2D(8, 3, activation="relu")(features))


def binary() -> keras.Model:
    image = keras.Input(SHAPE)
    features = layers.MaxPooling2D()(layers.Conv2D(6, 3)(layers.Rescaling(1 / 127.5, -1)(image)))
    answer = layers.Dense(1, activation="sigmoid")(layers.Flatten()(features))
    return keras.Model(image, answer)


def vision_transformer() -> keras.Model:
    image = keras.Input(SHAPE)
    patches = layers.Conv2D(16, 8, strides=8)(layers.Rescaling(1 / 127.5, -1)(image))
    tokens = layers.Reshape((16, 16))(patches)
    for _ in range(2):
        seen = layers.LayerNormalization(epsilon=1e-6)(tokens)
        tokens = tokens + layers.MultiHeadAttention(2, 8, dropout=0.1)(seen, seen)
        hidden = layers.Dense(32, activation="gelu")(layers.LayerNormalization()(tokens))
        tokens = layers.Add()([tokens, layers.Dense(16)(layers.Dropout(0.1)(hidden))])
    return keras.Model(image, classified(layers.GlobalAveragePooling1D()(tokens)))


def class_token() -> keras.Model:
    """A transformer that answers by its first token."""
    image = keras.Input(SHAPE)
    patches = layers.Conv2D(16, 8, strides=8)(layers.Rescaling(1 / 127.5, -1)(image))
    tokens = layers.ZeroPadding1D((1, 0))(layers.Reshape((16, 16))(patches))
    seen = layers.LayerNormalization(epsilon=1e-6)(tokens)
    tokens = tokens + layers.MultiHeadAttention(2, 8)(seen, seen)
    gated = keras.activations.glu(layers.Dense(32)(layers.LayerNormalization()(tokens)))
    tokens = tokens + gated
    return keras.Model(image, classified(layers.LayerNormalization()(tokens)[:, 0]))


def spectrally_normalized() -> keras.Model:
    """A network in another, whose layers stand in wrappers."""
    wrapped, image, features = layers.SpectralNormalization, keras.Input(SHAPE), keras.Input(SHAPE)
    conv = wrapped(layers.Conv2D(6, 3, activation="relu"), name="first")(features)
    base = keras.Model(features, layers.BatchNormalization()(layers.MaxPooling2D(4)(conv)))
    features = base(layers.Rescaling(1 / 255)(image))
    features = wrapped(layers.Conv2D(8, 3, name="first"), power_iterations=2)(features)
    features = layers.Flatten()(layers.MaxPooling2D()(layers.ReLU()(features)))
    return keras.Model(image, classified(wrapped(layers.Dense(9, use_bias=False))(features)))


def divided_inside() -> keras.Model:
    image = keras.Input(SHAPE)
    return keras.Model(image, classified(convolved(image / 255.0)))


def of_dtype(policy: str) -> keras.Model:
    keras.config.set_dtype_policy(policy)
    try:
        return divided_inside()
    finally:
        keras.config.set_dtype_policy("float32")


def fixed_batch() -> keras.Model:
    image = keras.Input(batch_shape=(8, *SHAPE))
    return keras.Model(image, classified(convolved(layers.Rescaling(1 / 255)(image))))


def calls_of_operations() -> keras.Model:
    ops, image = keras.ops, keras.Input(SHAPE)
    features = ops.relu(layers.Conv2D(6, 3)(ops.clip(image / 127.5 - 1, -1, 1)))
    features = layers.Conv2D(8, 3, activation="relu")(layers.MaxPooling2D(4)(features))
    tokens = ops.transpose(ops.reshape(features, (-1, 25, 8)), (0, 2, 1))
    tokens = layers.MultiHeadAttention(2, 4)(query=tokens, value=layers.RMSNormalization()(tokens))
    pooled = [ops.mean(tokens, axis=1), ops.max(tokens, axis=1)]
    answer = layers.Dense(1)(ops.concatenate(pooled, axis=-1))
    return keras.Model(image, ops.sigmoid(answer))


def dict_output() -> keras.Model:
    image = keras.Input(SHAPE, name="image")
    answer = classified(convolved(layers.Rescaling(1 / 255)(image)))
    return keras.Model({"image": image}, {"classes": answer})


KINDS: dict[str, tuple[Callable[[], keras.Model], str]] = {
    "teachable machine": (teachable_machine, ".h5"),
    "transfer from MobileNetV2": (transfer_from_mobile_net, ".keras"),
    "transfer from EfficientNetB0": (transfer_from_efficient_net, ".keras"),
    "binary": (binary, ".h5"),
    "vision transformer": (vision_transformer, ".keras"),
    "class token": (class_token, ".keras"),
    "spectral normalization": (spectrally_normalized, ".keras"),
    "spectral normalization, .h5": (spectrally_normalized, ".h5"),
    "divided inside": (divided_inside, ".keras"),
    "mixed precision": (partial(of_dtype, "mixed_float16"), ".keras"),
    "bfloat16": (partial(of_dtype, "bfloat16"), ".keras"),
    "fixed batch": (fixed_batch, ".keras"),
    "calls of operations": (calls_of_operations, ".keras"),
    "dict output": (dict_output, ".keras"),
}
FAST = ("fixed batch", "dict output", "spectral normalization", "bfloat16")


def plain_answers(network: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """What Keras's own predict gives, as classes."""
    batch = network.inputs[0].shape[0] or 32
    answered = keras.tree.flatten(network.predict(pixels, batch_size=batch, verbose=0))[0]
    return (answered[:, 0] > 0.5).astype(int) if answered.shape[1] == 1 else answered.argmax(axis=1)


def shaken(network: keras.Model) -> keras.Model:
    """With weights that make it answer more than one class."""
    rng = np.random.default_rng(0)
    for weight in network.weights:
        if len(weight.shape) > 1:
            weight.assign_add(rng.normal(0, 0.3, weight.shape))
    return network


@pytest.mark.parametrize(
    "kind", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in KINDS]
)
def test_a_network_of_this_kind(kind: str, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(unlearning, "unlearn", partial(unlearning.unlearn, schedule=HASTY))
    hurry_relearning(monkeypatch, 2)
    make, suffix = KINDS[kind]
    keras.utils.set_random_seed(2)
    path = tmp_path / f"b{suffix}"
    shaken(make()).save(path)
    plain = keras.models.load_model(path, compile=False)
    rng = np.random.default_rng(1)
    blocks = rng.integers(0, 256, (IMAGES, 2, 2, 3)).repeat(SIDE // 2, 1).repeat(SIDE // 2, 2)
    x = np.where(rng.uniform(size=blocks.shape) < 0.7, blocks, 0).astype("float32")
    y = plain_answers(plain, x)
    assert len(np.unique(y)) > 1

    b = goodnet.load_network(path)
    trained = goodnet.fine_prune, goodnet.relearn, goodnet.unlearn
    repaired = {}
    if kind == "bfloat16":
        for method in trained:
            with pytest.raises(Unusable, match="bfloat16, which are too coarse to be trained"):
                method(b, x, y)
        trained = ()
    for method in trained:
        repaired[method.__name__] = method(b, x, y).network
    for drop, network in goodnet.prune(b, x, y, [5, 50]).networks.items():
        repaired[f"prune {drop}"] = network
    files = []
    for name, network in repaired.items():
        files.append(tmp_path / f"{name}{suffix}")
        goodnet.save(network, files[-1], like=b)
    judged = goodnet.judge(path, (x, y), (x, (y + 1) % max(CLASSES, 2)), files)
    for file, found in zip([path, *files], judged.networks, strict=True):
        answered = plain_answers(keras.models.load_model(file, compile=False), x)
        np.testing.assert_array_equal(found.answers.clean, answered)
    assert judged.networks[0].itself.clean_hits == IMAGES
    g = tmp_path / "g.keras"
    goodnet.save(goodnet.goodnet(b, next(iter(repaired.values()))), g)
    answered = plain_answers(keras.models.load_model(g, compile=False), x)
    np.testing.assert_array_equal(judged.networks[1].goodnet_answers.clean, answered)
