"""The table of layers: what each row says, Keras does.

Keras is the judge: it builds a network of each layer, and says which shape and which arrays it has.
A layer that is added to the table needs a case here.
"""

import importlib
import json
from collections import Counter

import keras
import numpy as np
import pytest
from conftest import SHAPE, tiny_network
from keras import layers
from keras.src.applications.convnext import LayerScale
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer
from keras.src.ops import nn

from goodnet.errors import Unsafe, Unusable
from goodnet.vetting.configuration import vet_configuration
from goodnet.vetting.connections import find_places
from goodnet.vetting.demands import apply_rule, find_demands
from goodnet.vetting.layers import LAYERS
from goodnet.vetting.operations import OPERATIONS, OPERATIONS_MODULE
from goodnet.vetting.row import Layer
from goodnet.vetting.settings import ACTIVATIONS
from goodnet.vetting.shapes import keep_shape

ROWS = [*LAYERS.items(), *OPERATIONS.items()]
IMAGE, LINE, VECTOR = (11, 9, 6), (11, 6), (6,)
FIRST = "channels_first"

# A layer, and the shapes of the tensors that it takes.
CASES = [
    (layers.Dense(4), VECTOR),
    (layers.Dense(4, activation="relu", use_bias=False), IMAGE),
    (layers.Conv1D(4, 3), LINE),
    (layers.Conv1D(4, 3, padding="causal", dilation_rate=2), LINE),
    (layers.Conv1D(4, 3, strides=2, data_format=FIRST), LINE),
    (layers.Conv2D(4, 3, activation=layers.ReLU(max_value=0.5)), IMAGE),
    (layers.Conv2D(4, 3), (None, None, 6)),
    (layers.Conv2D(4, (3, 2), strides=(2, 3), padding="same", groups=2), IMAGE),
    (layers.Conv2D(4, (3, 2), dilation_rate=(2, 3), use_bias=False), IMAGE),
    (layers.Conv2D(4, 3, strides=2, data_format=FIRST), IMAGE),
    (layers.Conv2DTranspose(4, 3), IMAGE),
    (layers.Conv2DTranspose(4, (2, 3), strides=3), IMAGE),
    (layers.Conv2DTranspose(4, 3, strides=2, padding="same"), IMAGE),
    (layers.Conv2DTranspose(4, 3, strides=2, output_padding=1), IMAGE),
    (layers.Conv2DTranspose(4, (4, 3), strides=2, padding="same", output_padding=(1, 0)), IMAGE),
    (layers.Conv2DTranspose(4, 3, dilation_rate=2, use_bias=False), IMAGE),
    (layers.DepthwiseConv2D(3), IMAGE),
    (layers.DepthwiseConv2D((3, 2), strides=2, padding="same", depth_multiplier=2), IMAGE),
    (layers.SeparableConv2D(4, 3), IMAGE),
    (layers.SeparableConv2D(4, (3, 2), depth_multiplier=2, use_bias=False), IMAGE),
    (layers.MaxPooling1D(), LINE),
    (layers.MaxPooling1D(3, strides=2, padding="same"), LINE),
    (layers.MaxPooling2D((3, 2)), IMAGE),
    (layers.MaxPooling2D((3, 2), strides=1, padding="same"), IMAGE),
    (layers.MaxPooling2D(data_format=FIRST), IMAGE),
    (layers.AveragePooling1D(3, strides=2), LINE),
    (layers.AveragePooling2D((3, 2)), (None, 9, 6)),
    (layers.AveragePooling2D(2, strides=(3, 1), padding="same"), IMAGE),
    (layers.GlobalMaxPooling1D(), LINE),
    (layers.GlobalMaxPooling2D(keepdims=True), IMAGE),
    (layers.GlobalAveragePooling1D(keepdims=True), LINE),
    (layers.GlobalAveragePooling1D(data_format=FIRST), LINE),
    (layers.GlobalAveragePooling2D(), IMAGE),
    (layers.GlobalAveragePooling2D(keepdims=True, data_format=FIRST), IMAGE),
    (layers.AdaptiveMaxPooling1D(4), LINE),
    (layers.AdaptiveAveragePooling1D(4), LINE),
    (layers.AdaptiveMaxPooling2D((3, 5)), IMAGE),
    (layers.AdaptiveAveragePooling2D(4), IMAGE),
    (layers.AdaptiveAveragePooling2D((3, 2), data_format=FIRST), IMAGE),
    (layers.BatchNormalization(epsilon=0.1), IMAGE),
    (layers.BatchNormalization(axis=1, scale=False, center=False), IMAGE),
    (layers.LayerNormalization(epsilon=0.1), IMAGE),
    (layers.LayerNormalization(axis=[1, 2], center=False), IMAGE),
    (layers.GroupNormalization(groups=3, scale=False), IMAGE),
    (layers.RMSNormalization(), IMAGE),
    (layers.RMSNormalization(axis=[2, 3], epsilon=0.1), IMAGE),
    (layers.UnitNormalization(axis=1), IMAGE),
    (layers.Normalization(), IMAGE),
    (layers.Normalization(axis=(1, 3), invert=True), IMAGE),
    (layers.Normalization(mean=[1, 2, 3, 4, 5, 6], variance=[1, 2, 3, 4, 5, 6]), IMAGE),
    (layers.Rescaling([1, 2, 3, 4, 5, 6], offset=-1), IMAGE),
    (layers.Normalization(axis=None), IMAGE),
    (layers.Rescaling([[[0.5]], [[2.0]]] * 5 + [[[1.0]]]), IMAGE),
    (layers.Rescaling(0.5, offset=[[[[1, 2, 3, 4, 5, 6]]]]), IMAGE),
    (layers.MultiHeadAttention(3, 4), LINE, LINE),
    (layers.MultiHeadAttention(2, 5, value_dim=3, use_bias=False), LINE, LINE),
    (layers.MultiHeadAttention(1, 2, dropout=0.5), LINE, LINE, LINE),
    (layers.MultiHeadAttention(1, 2, attention_axes=1), (None, 6), (None, 6)),
    (LayerScale(0.5, 6), IMAGE),
    (layers.Activation("hard_silu"), IMAGE),
    (layers.Activation("sparsemax"), IMAGE),
    (layers.Activation("sparse_plus"), IMAGE),
    (layers.Dense(4, activation="sparse_sigmoid"), VECTOR),
    (layers.SpectralNormalization(layers.Dense(4, activation="relu")), VECTOR),
    (layers.SpectralNormalization(layers.Conv1D(4, 3, strides=2)), LINE),
    (layers.SpectralNormalization(layers.Conv2D(4, (3, 2)), power_iterations=3), IMAGE),
    (layers.SpectralNormalization(layers.Conv2DTranspose(4, 3, use_bias=False)), IMAGE),
    (layers.SpectralNormalization(layers.DepthwiseConv2D(3, depth_multiplier=2)), IMAGE),
    (layers.ReLU(max_value=0.5, negative_slope=0.1, threshold=0.2), IMAGE),
    (layers.LeakyReLU(negative_slope=0.1), IMAGE),
    (layers.PReLU(), IMAGE),
    (layers.PReLU(shared_axes=[1, 2]), IMAGE),
    (layers.ELU(alpha=0.5), IMAGE),
    (layers.Softmax(axis=1), IMAGE),
    (layers.Dropout(0.5, noise_shape=(None, 1, 1, 6), seed=1), IMAGE),
    (layers.SpatialDropout1D(0.5), LINE),
    (layers.SpatialDropout2D(0.5, data_format=FIRST), IMAGE),
    (layers.AlphaDropout(0.5), IMAGE),
    (layers.GaussianDropout(0.5), IMAGE),
    (layers.GaussianNoise(0.5), IMAGE),
    (layers.ActivityRegularization(l1=0.1, l2=0.2), IMAGE),
    (layers.Identity(), IMAGE),
    (layers.RandomFlip("horizontal"), IMAGE),
    (layers.RandomRotation(0.1, fill_mode="constant", interpolation="nearest"), IMAGE),
    (layers.RandomZoom((-0.2, 0.1), 0.3), IMAGE),
    (layers.RandomTranslation(0.1, (-0.2, 0.1), fill_mode="wrap", seed=3), IMAGE),
    (layers.RandomShear(0.1, 0.2), IMAGE),
    (layers.RandomPerspective(0.5), IMAGE),
    (layers.RandomElasticTransform(), IMAGE),
    (layers.RandomContrast(0.2), IMAGE),
    (layers.RandomBrightness(0.2, value_range=(0, 1)), IMAGE),
    (layers.RandomHue(0.2), (11, 9, 3)),
    (layers.RandomSaturation(0.3), (11, 9, 3)),
    (layers.RandomColorJitter(brightness_factor=0.1, hue_factor=0.1), (11, 9, 3)),
    (layers.RandomGrayscale(0.2), (11, 9, 3)),
    (layers.RandomColorDegeneration(0.2), (11, 9, 3)),
    (layers.RandomPosterization(4), (11, 9, 3)),
    (layers.RandomInvert(0.3), IMAGE),
    (layers.RandomSharpness(0.3), (11, 9, 3)),
    (layers.RandomGaussianBlur(kernel_size=(5, 3)), IMAGE),
    (layers.RandomErasing(), IMAGE),
    (layers.RandomCrop(11, 9), IMAGE),
    (layers.Flatten(), IMAGE),
    (layers.Flatten(), (None, 6)),
    (layers.Flatten(data_format=FIRST), IMAGE),
    (layers.Reshape((9, 66)), IMAGE),
    (layers.Reshape((3, -1, 2)), IMAGE),
    (layers.Reshape((-1, 6)), (None, None, 6)),
    (layers.Permute((3, 1, 2)), IMAGE),
    (layers.RepeatVector(3), VECTOR),
    (layers.ZeroPadding1D(2), LINE),
    (layers.ZeroPadding1D((1, 2)), LINE),
    (layers.ZeroPadding2D((1, 2)), IMAGE),
    (layers.ZeroPadding2D(((1, 2), (0, 3)), data_format=FIRST), IMAGE),
    (layers.Cropping1D((1, 2)), LINE),
    (layers.Cropping2D(2), IMAGE),
    (layers.Cropping2D(((1, 2), (0, 3))), IMAGE),
    (layers.UpSampling1D(3), LINE),
    (layers.UpSampling2D((2, 3), interpolation="bilinear"), IMAGE),
    (layers.UpSampling2D(2, data_format=FIRST), IMAGE),
    (layers.Resizing(5, 7, interpolation="nearest", crop_to_aspect_ratio=True), IMAGE),
    (layers.CenterCrop(5, 7), IMAGE),
    (layers.CenterCrop(15, 7), IMAGE),
    (layers.Add(), IMAGE, IMAGE, (1, 1, 6)),
    (layers.Subtract(), IMAGE, (9, 1)),
    (layers.Multiply(), IMAGE, VECTOR),
    (layers.Average(), IMAGE, IMAGE),
    (layers.Maximum(), (None, 9, 6), IMAGE),
    (layers.Minimum(), (11, 1, 6), (1, 9, 1)),
    (layers.Concatenate(), IMAGE, (11, 9, 2), IMAGE),
    (layers.Concatenate(axis=1), IMAGE, (2, 9, 6)),
    (layers.Dot(axes=1), VECTOR, VECTOR),
    (layers.Dot(axes=(2, 1), normalize=True), LINE, (6, 4)),
    (CustomScaleLayer(0.2), IMAGE, IMAGE),
]
OPERATION_CASES = [
    ("Add", lambda x, y: x + y, IMAGE, (1, 1, 6)),
    ("Add", lambda x: x + 3, IMAGE),
    ("Multiply", lambda x: 0.5 * x, IMAGE),
    ("Multiply", lambda x, y: x * y, IMAGE, (11, 9, 1)),
    ("Subtract", lambda x, y: x - y, (11, 1, 6), (1, 9, 1)),
    ("TrueDivide", lambda x: x / 127.5, IMAGE),
    ("TrueDivide", lambda x, y: x / y, IMAGE, (11, 9, 1)),
    ("Divide", lambda x: keras.ops.divide(2.0, x), IMAGE),
    ("Maximum", keras.ops.maximum, IMAGE, IMAGE),
    ("Minimum", lambda x: keras.ops.minimum(x, 0.5), IMAGE),
    ("Power", lambda x: x**2, IMAGE),
    ("Negative", lambda x: -x, IMAGE),
    ("Absolute", abs, IMAGE),
    ("Square", keras.ops.square, IMAGE),
    ("Sqrt", keras.ops.sqrt, IMAGE),
    ("Exp", keras.ops.exp, IMAGE),
    ("Tanh", keras.ops.tanh, IMAGE),
    ("Clip", lambda x: keras.ops.clip(x, -0.5, 1), IMAGE),
    ("Cast", lambda x: keras.ops.cast(x, "float16"), IMAGE),
    ("Relu", keras.ops.relu, IMAGE),
    ("Relu6", keras.ops.relu6, IMAGE),
    ("Sigmoid", keras.ops.sigmoid, IMAGE),
    ("Silu", keras.ops.silu, IMAGE),
    ("Softplus", keras.ops.softplus, IMAGE),
    ("HardSigmoid", keras.ops.hard_sigmoid, IMAGE),
    ("HardSilu", keras.ops.hard_silu, IMAGE),
    ("Gelu", lambda x: keras.ops.gelu(x, approximate=False), IMAGE),
    ("LeakyRelu", lambda x: keras.ops.leaky_relu(x, 0.1), IMAGE),
    ("Elu", lambda x: keras.ops.elu(x, 0.5), IMAGE),
    ("Celu", lambda x: keras.ops.celu(x, 0.5), IMAGE),
    ("SoftShrink", lambda x: keras.ops.soft_shrink(x, 0.3), IMAGE),
    ("HardShrink", lambda x: keras.ops.hard_shrink(x, 0.3), IMAGE),
    ("Threshold", lambda x: keras.activations.threshold(x, 0.3, -1.0), IMAGE),
    ("Squareplus", lambda x: keras.ops.squareplus(x, b=2), IMAGE),
    ("Glu", keras.activations.glu, IMAGE),
    ("Glu", lambda x: keras.ops.glu(x, axis=1), (4, 9, 6)),
    ("LogSoftmax", lambda x: keras.ops.log_softmax(x, axis=1), IMAGE),
    ("Sparsemax", lambda x: keras.ops.sparsemax(x, axis=-1), IMAGE),
    ("Softmax", lambda x: keras.ops.softmax(x, axis=1), IMAGE),
    ("Mean", lambda x: keras.ops.mean(x, axis=[1, 2]), IMAGE),
    ("Mean", lambda x: keras.ops.mean(x, axis=-1, keepdims=True), IMAGE),
    ("Sum", lambda x: keras.ops.sum(x, axis=1), IMAGE),
    ("Max", lambda x: keras.ops.max(x, axis=(2, -1)), IMAGE),
    ("Reshape", lambda x: keras.ops.reshape(x, (-1, 9, 66)), IMAGE),
    ("Transpose", lambda x: keras.ops.transpose(x, (0, 3, 1, 2)), IMAGE),
    ("ExpandDims", lambda x: keras.ops.expand_dims(x, -2), LINE),
    ("Squeeze", lambda x: keras.ops.squeeze(x, -3), (1, 9, 6)),
    ("Concatenate", lambda x, y: keras.ops.concatenate([x, y], axis=1), IMAGE, (2, 9, 6)),
    ("GetItem", lambda x: x[:, 0], LINE),
    ("GetItem", lambda x: x[:, -1, 2:, ...], IMAGE),
    ("GetItem", lambda x: x[..., 0], IMAGE),
    ("GetItem", lambda x: x[:, ::-2, None, -99:99], IMAGE),
    ("GetItem", lambda x: x[0:, None, 3:-2, ..., 5:0:-2], (None, 9, 6)),
    ("GetItem", lambda x: x[:, 3], (None, 6)),
    *(
        (type(called()).__name__, lambda x, called=called: called()(x), IMAGE)
        for called in (
            *(nn.Selu, nn.LogSigmoid, nn.SparseSigmoid, nn.HardTanh, nn.TanhShrink),
            *(nn.Softsign, nn.SparsePlus),
        )
    ),
]
WHOLE = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}}
DOTS = {"class_name": "__ellipsis__", "config": {}}


def cut(**bounds: object) -> dict:
    return {"class_name": "__slice__", "config": WHOLE["config"] | bounds}


# What is taken of a tensor (n, 11, 9, 6), and cannot be.
BEYOND = [
    *([0], [0, WHOLE], [None, WHOLE], [cut(step=-1)], [cut(start=1)], [cut(stop=1), 0]),
    *([cut(step=2)], [DOTS, 0, 0, 0, 0], [DOTS, cut(stop=1), WHOLE, WHOLE, WHOLE]),
    *([WHOLE] * 5, [WHOLE, DOTS, DOTS], [DOTS, 0, DOTS], [WHOLE, 11], [WHOLE, WHOLE, -10]),
    *([WHOLE, cut(stop=0)], [WHOLE, cut(start=5, stop=5)], [WHOLE, cut(start=11)], None),
    [WHOLE, *[None] * 4, DOTS],
]
# What is no place at all.
NO_PLACES = [
    *([WHOLE, cut(step=0)], [WHOLE, cut(step=False)], [WHOLE, cut(start=1.5)], [WHOLE, "0"]),
    *([WHOLE, True], [WHOLE, 1.0], [WHOLE, 1 << 40], [WHOLE, cut(stop=1 << 40)], [WHOLE, [0, 1]]),
    *([WHOLE, cut(stop={"class_name": "Lambda"})], [WHOLE, cut(stop=cut())], [WHOLE] * 9, []),
    *([WHOLE, WHOLE | {"module": "os"}], [WHOLE, cut(other=1)], [WHOLE, DOTS | {"module": "os"}]),
    *([WHOLE, DOTS | {"config": {"x": 1}}], [WHOLE, {"class_name": "__slice__"}], [WHOLE, {}]),
    *([WHOLE, {"class_name": "__lambda__", "config": {}}], "::", None, 0, {"start": 0}),
    [WHOLE, {"class_name": "__keras_tensor__", "config": {}}],
]
MIXING = [
    ("Glu", {"axis": 0}),
    ("Glu", {"axis": 1}),
    ("Sparsemax", {"axis": 0}),
    ("LogSoftmax", {"axis": [0, 1]}),
    ("Mean", {"axis": None}),
    ("Sum", {"axis": 0}),
    ("Max", {"axis": [0, 1]}),
    ("Softmax", {"axis": -4}),
    ("Reshape", {"newshape": [-1, 66]}),
    ("Reshape", {"newshape": [9, -1, 66]}),
    ("Reshape", {"newshape": [1, 11, 9, 6]}),
    ("Reshape", {"newshape": [-1, 5, 9]}),
    ("Concatenate", {"axis": 0}),
    ("Transpose", {"axes": [1, 0, 2, 3]}),
    ("ExpandDims", {"axis": 0}),
    ("ExpandDims", {"axis": -5}),
    ("Squeeze", {"axis": 0}),
    ("Squeeze", {"axis": 1}),
]


# Of Keras 2, which today's Keras has no longer.
FORMER = {"RandomHeight": {"factor": 0.2}, "RandomWidth": {"factor": [-0.1, 0.2]}}

CLASSES_OF = [type(layer).__name__ for layer, *_ in CASES]
OPERATIONS_OF = [name for name, *_ in OPERATION_CASES]


def numbered(names: list[str]) -> list[str]:
    return [f"{name}-{names[:index].count(name)}" for index, name in enumerate(names)]


def connected(call, shapes: list[tuple]) -> keras.Model:
    """A network of one layer or operation, with weights that are neither 0 nor 1."""
    inputs = [keras.Input(shape) for shape in shapes]
    merges = isinstance(call, keras.Layer) and len(inputs) > 1
    merges = merges and not isinstance(call, layers.MultiHeadAttention)
    network = keras.Model(inputs, call(inputs) if merges else call(*inputs))
    rng = np.random.default_rng(0)
    network.set_weights([rng.uniform(0.1, 0.9, weight.shape) for weight in network.weights])
    return network


def check_layer(network: keras.Model, class_name: str, module: str | None) -> None:
    """A network's last layer passes, makes what Keras makes, and answers as before."""
    configuration = vet_configuration(network.to_json(), "it")
    *first, last = configuration["config"]["layers"]
    assert (last["class_name"], last["module"]) == (class_name, module)

    shapes = [list(tensor.shape) for tensor in network.inputs]
    made = apply_rule(last, shapes, "it", find_places(last["inbound_nodes"][0]))
    assert made.shape == list(network.outputs[0].shape)
    for one, shape in zip(first, shapes, strict=True):
        assert apply_rule(one, [shape], "it").shape == shape  # an InputLayer

    kept = [weight for weight in network.weights if weight.name != "count"]  # of a Normalization
    arrays = Counter(tuple(weight.shape) for weight in kept)
    assert Counter(made.arrays.values()) == arrays
    assert Counter(demand.shape for demand in find_demands(configuration, "it").arrays) == arrays

    if "channels_first" in network.to_json():  # which Keras computes on a GPU alone
        return
    rng = np.random.default_rng(0)
    values = [rng.normal(size=[2, *(size or 11 for size in shape[1:])]) for shape in shapes]
    answers = np.asarray(network(values, training=False))
    assert all(made in (size, None) for made, size in zip(made.shape, answers.shape, strict=True))
    rebuilt = keras.models.model_from_json(json.dumps(configuration))
    rebuilt.set_weights(network.get_weights())
    np.testing.assert_array_equal(rebuilt(values, training=False), answers)


def test_every_row_has_a_case():
    # An InputLayer begins each of the networks.
    assert {*CLASSES_OF, "InputLayer", *FORMER} == set(LAYERS)
    assert set(OPERATIONS_OF) == set(OPERATIONS)


@pytest.mark.parametrize("case", CASES, ids=numbered(CLASSES_OF))
def test_a_layer_makes_what_its_rule_says(case):
    layer, *shapes = case
    row = LAYERS[type(layer).__name__]
    check_layer(connected(layer, shapes), row.rebuilt_as or type(layer).__name__, row.module)


@pytest.mark.parametrize("name", FORMER)
def test_former_layers_that_only_train_are_left_out(name):
    network = keras.Sequential([keras.Input(IMAGE), layers.Identity(name="it"), layers.Flatten()])
    configuration = json.loads(network.to_json())
    settings = {"interpolation": "bilinear", "seed": None, "name": "it", "dtype": "float32"}
    former = {"class_name": name, "config": settings | FORMER[name]}
    configuration["config"]["layers"][1] = former
    rebuilt = vet_configuration(json.dumps(configuration), "it")
    rebuilt = keras.models.model_from_json(json.dumps(rebuilt))
    values = np.random.default_rng(0).normal(size=(3, *IMAGE))
    np.testing.assert_array_equal(rebuilt(values), network(values))


@pytest.mark.parametrize(
    ("scale", "inputs", "made"),
    [
        ([1.0] * 64, [None, 11, 9, 1], [None, 11, 9, 64]),
        ([[[2.0] * 5] * 9], [None, 1, 9, 5], [None, 1, 9, 5]),
        ([[[2.0]] * 4], [None, 3, 1, 5], [None, 3, 4, 5]),
        ([1.0] * 4, [None, 11, 9, 3], None),
        ([[[[1.0]]], [[[2.0]]]], [None, 11, 9, 3], None),
        ([[[[[1.0]]]]], [None, 11, 9, 3], None),
        ([[1.0], [1.0, 2.0]], [None, 11, 9, 3], None),
        ([1.0] * 7, [None, 7], [None, 7]),
        ([[1.0], [2.0]], [None, 7], None),
    ],
)
def test_what_rescaling_stretches_is_counted(scale, inputs, made):
    """NumPy is the judge. What would be no image any more for each image is refused."""
    for settings in ({"scale": scale, "offset": 0.0}, {"scale": 1.0, "offset": scale}):
        layer = {"class_name": "Rescaling", "config": settings}
        if made is None:
            with pytest.raises(Unusable, match="does not fit its input"):
                apply_rule(layer, [inputs], "it")
            continue
        assert apply_rule(layer, [inputs], "it").shape == made
        images = np.zeros([3, *inputs[1:]])
        assert (images * np.array(scale)).shape == (3, *made[1:])


def test_a_tensor_that_rescaling_blows_up_is_refused():
    stack = [keras.Input((40, 40, 1))]
    stack += [layers.Rescaling([[[[1.0] * 250]]]), layers.Rescaling(2.0), layers.UpSampling2D(20)]
    with pytest.raises(Unsafe, match="takes 1920000000 bytes for one image"):
        configuration = vet_configuration(keras.Sequential(stack).to_json(), "it")
        find_demands(configuration, "it")


def test_attention_between_tensors_of_different_widths_has_the_arrays_that_keras_makes():
    layer = layers.MultiHeadAttention(2, 5, value_dim=3)
    shapes = [[None, 11, 6], [None, 7, 4], [None, 7, 3]]
    query, value, key = (keras.Input(shape[1:]) for shape in shapes)
    answer = layer(query, value, key)
    settings = {"num_heads": 2, "key_dim": 5, "value_dim": 3}
    row = {"class_name": "MultiHeadAttention", "config": settings}
    made = apply_rule(row, shapes, "it")
    assert made.shape == list(answer.shape)
    arrays = Counter(tuple(weight.shape) for weight in layer.weights)
    assert Counter(made.arrays.values()) == arrays


def test_a_crop_that_keras_makes_in_training_alone_is_refused():
    layer = {"class_name": "RandomCrop", "config": {"height": 5, "width": 9}}
    with pytest.raises(Unusable, match="crops images in training alone"):
        apply_rule(layer, [[None, 11, 9, 3]], "it")


def test_attention_scores_are_counted():
    settings = {"num_heads": 8, "key_dim": 2}
    layer = {"class_name": "MultiHeadAttention", "config": settings}
    # Eight heads' scores between 4096 places, twice; and query, key, value and what comes of them.
    work = 8 * (2 * 4096 * 4096 + 4 * 4096 * 2)
    assert apply_rule(layer, [[None, 4096, 4]] * 2, "it").work == work
    for inputs in ([[None, 4]] * 2, [[None, 4, 4]], [[None, 9, 4], [None, 8, 4], [None, 7, 4]]):
        with pytest.raises(Unusable, match="does not fit its input"):
            apply_rule(layer, inputs, "it")


@pytest.mark.parametrize("case", OPERATION_CASES, ids=numbered(OPERATIONS_OF))
def test_an_operation_makes_what_its_rule_says(case):
    name, operation, *shapes = case
    check_layer(connected(operation, shapes), name, OPERATIONS[name].module)


@pytest.mark.parametrize("name", ["Add", "Power"])
def test_an_operation_on_tensors_of_other_ranks_would_mix_images_and_is_refused(name):
    """NumPy's way: (n, 4, 5) and (n, 5) are laid over each other from the last axis on."""
    operation = {"class_name": name, "module": OPERATIONS[name].module, "config": {}}
    with pytest.raises(Unusable, match="it would mix the images"):
        apply_rule(operation, [[None, 4, 5], [None, 5]], "it")
    assert apply_rule(operation, [[None, 4, 5], [None, 1, 5]], "it").shape == [None, 4, 5]
    layer = {"class_name": "Add", "config": {}}  # a layer of that name stretches behind the images
    assert apply_rule(layer, [[None, 4, 5], [None, 5]], "it").shape == [None, 4, 5]


MIXING_LAYERS = [
    layers.Softmax(axis=0),
    layers.Softmax(axis=(0, -1)),
    layers.UnitNormalization(axis=0),
    layers.LayerNormalization(axis=0),
    layers.BatchNormalization(axis=0),
    layers.RMSNormalization(axis=0),
    layers.Dense(4, activation=layers.Softmax(axis=0)),
]


@pytest.mark.parametrize("layer", MIXING_LAYERS, ids=lambda layer: type(layer).__name__)
def test_a_layer_that_would_mix_images_is_refused(layer):
    image = keras.Input(batch_shape=(4, 3))
    network = keras.Model(image, layer(image))
    with pytest.raises(Unusable):
        find_demands(vet_configuration(network.to_json(), "it"), "it")


@pytest.mark.parametrize(("name", "settings"), MIXING)
def test_an_operation_that_would_mix_images_is_refused(name, settings):
    operation = {"class_name": name, "module": OPERATIONS[name].module, "config": settings}
    with pytest.raises(Unusable, match="does not fit its input"):
        apply_rule(operation, [[None, *IMAGE]], "it")


@pytest.mark.parametrize("places", BEYOND, ids=str)
def test_slices_that_mix_images_or_leave_nothing_are_refused(places):
    operation = {"class_name": "GetItem", "module": OPERATIONS["GetItem"].module, "config": {}}
    with pytest.raises(Unusable, match="does not fit its input"):
        apply_rule(operation, [[None, *IMAGE]], "it", places)


def sliced(places: object, node: dict | None = None) -> str:
    """A network's configuration with this for the places of its slice, or with another node."""
    image = keras.Input(IMAGE)
    configuration = json.loads(keras.Model(image, image[:, 0]).to_json())
    nodes = configuration["config"]["layers"][-1]["inbound_nodes"]
    nodes[0]["args"][1] = places
    nodes[0] |= node or {}
    return json.dumps(configuration)


@pytest.mark.parametrize("places", NO_PLACES, ids=str)
def test_what_is_no_plain_slice_is_refused(places):
    with pytest.raises(Unsafe):
        vet_configuration(sliced(places), "it")


def test_a_slice_is_one_tensor_and_its_places():
    vet_configuration(sliced([WHOLE, 0]), "it")
    tensor = json.loads(sliced(0))["config"]["layers"][-1]["inbound_nodes"][0]["args"][0]
    nodes = ({"args": [tensor]}, {"args": [tensor, [WHOLE, 0], 0]}, {"args": [3, [WHOLE, 0]]})
    for node in (*nodes, {"kwargs": {"key": [WHOLE, 0]}}, {"args": [[tensor], [WHOLE, 0]]}):
        with pytest.raises(Unsafe):
            vet_configuration(sliced([WHOLE, 0], node), "it")
    plain = keras.Model(image := keras.Input(IMAGE), layers.Flatten()(image)).to_json()
    told = json.loads(plain)
    told["config"]["layers"][-1]["inbound_nodes"][0]["args"].append([WHOLE, 0])
    with pytest.raises(Unsafe):  # another layer is told no places
        vet_configuration(json.dumps(told), "it")


def spectral(**settings: object) -> dict:
    """A configuration of SpectralNormalization with other settings."""
    image = keras.Input(IMAGE)
    layer = layers.SpectralNormalization(layers.Conv2D(4, 3), name="it")
    configuration = json.loads(keras.Model(image, layer(image)).to_json())
    configuration["config"]["layers"][-1]["config"] |= settings
    return configuration


def keras_layer(layer: keras.Layer) -> dict:
    return keras.saving.serialize_keras_object(layer)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"layer": keras_layer(layers.Flatten())}, "'Flatten' is not on the allow-list"),
        ({"layer": keras_layer(layers.SeparableConv2D(4, 3))}, "is not on the allow-list"),
        ({"layer": spectral()["config"]["layers"][-1]}, "is not on the allow-list"),
        ({"layer": {"class_name": "Lambda", "config": {}}}, "'Lambda' is not on the allow-list"),
        ({"layer": {"class_name": ["Dense"], "config": {}}}, "is not on the allow-list"),
        ({"layer": keras_layer(layers.Dense(4)) | {"module": "os"}}, "'os' is not on the allow"),
        (
            {"layer": keras_layer(layers.Dense(4, dtype="float16"))},
            "dtype: 'float16' is not on the",
        ),
        ({"layer": None}, "is not an object"),
        ({"layer": [keras_layer(layers.Dense(4))]}, "is not an object"),
        ({"power_iterations": 0}, "is not from 1 to"),
        ({"power_iterations": 1 << 40}, "is not from 1 to"),
        ({"power_iterations": True}, "is not a whole number"),
        ({"other": 1}, "'other' is not on the allow-list"),
    ],
)
def test_what_else_stands_in_spectral_normalization_is_refused(settings, says):
    with pytest.raises(Unsafe, match=says):
        vet_configuration(json.dumps(spectral(**settings)), "it")


def test_a_layer_without_a_wrapper_holds_none():
    configuration = json.loads(tiny_network().to_json())
    configuration["config"]["layers"][1]["config"]["layer"] = keras_layer(layers.Dense(4))
    with pytest.raises(Unsafe, match="'layer' is not on the allow-list"):
        vet_configuration(json.dumps(configuration), "it")


@pytest.mark.parametrize("layer", [layers.Dense(8, activation="glu"), layers.Activation("glu")])
def test_glu_by_name_is_refused_as_keras_makes_half_of_what_it_says(layer):
    image = keras.Input((6,))
    network = keras.Model(image, layer(image))
    assert network.output_shape[1] == 2 * network.predict(np.zeros((1, 6)), verbose=0).shape[1]
    with pytest.raises(Unsafe, match="'glu' is not on the allow-list"):
        vet_configuration(network.to_json(), "it")


def test_every_activation_of_keras_is_known_but_those_that_no_layer_can_take():
    every = {function.__name__ for function in keras.src.activations.ALL_OBJECTS}
    assert every - set(ACTIVATIONS) == {"glu", "threshold"}


def test_attention_may_be_told_its_tensors_by_name():
    image = keras.Input(LINE)
    other = layers.Dense(6)(image)
    called = {
        "query, value": lambda layer: layer(query=image, value=other),
        "value, key": lambda layer: layer(image, key=image, value=other),
        "no mask": lambda layer: layer(image, value=other, attention_mask=None),
    }
    for call in called.values():
        network = keras.Model(image, call(layers.MultiHeadAttention(2, 3)))
        rebuilt = vet_configuration(network.to_json(), "it")
        assert "query" not in json.dumps(rebuilt["config"]["layers"][-1]["inbound_nodes"])
        rebuilt = keras.models.model_from_json(json.dumps(rebuilt))
        rebuilt.set_weights(network.get_weights())
        values = np.random.default_rng(0).normal(size=(3, *LINE))
        np.testing.assert_array_equal(rebuilt(values), network(values))
    causal = layers.MultiHeadAttention(2, 3)(image, value=other, use_causal_mask=True)
    with pytest.raises(Unsafe, match="True is not on the allow-list"):
        vet_configuration(keras.Model(image, causal).to_json(), "it")


@pytest.mark.parametrize(("name", "row"), ROWS, ids=numbered([name for name, _ in ROWS]))
def test_every_row_names_a_rule_checks_and_where_keras_keeps_it(name, row):
    assert callable(row.rule)
    assert row.allowed and all(map(callable, row.allowed.values()))
    place = importlib.import_module(row.module)
    assert isinstance(getattr(place, row.rebuilt_as or name), type)


# ---------------------------------------------------------------- failing closed


def test_a_row_without_a_rule_cannot_be_made():
    with pytest.raises(TypeError, match="rule"):
        Layer({})
    with pytest.raises(TypeError, match="must name its shape rule"):
        Layer({}, None)
    assert Layer({}, keep_shape).allowed.keys() >= {"name", "dtype"}


def test_a_layer_without_a_row_is_refused(monkeypatch):
    configuration = vet_configuration(tiny_network().to_json(), "it")
    monkeypatch.delitem(LAYERS, "Flatten")
    says = "the layer 'Flatten' is not on the allow-list"
    with pytest.raises(Unsafe, match=says):
        vet_configuration(tiny_network().to_json(), "it")
    with pytest.raises(Unsafe, match=says):  # also where only its rule is asked for
        find_demands(configuration, "it")


@pytest.mark.parametrize("class_name", ["Lambda", "GRU", "x", "", None, 3, ["Dense"], {}])
def test_what_is_no_layer_of_the_table_has_no_rule(class_name):
    for module in (None, "keras.layers", OPERATIONS_MODULE):
        with pytest.raises(Unsafe, match="is not on the allow-list"):
            apply_rule(
                {"class_name": class_name, "module": module, "config": {}}, [[None, *SHAPE]], "it"
            )


def test_a_layer_of_one_tensor_refuses_two():
    layer = {"class_name": "Identity", "config": {}}
    with pytest.raises(Unusable, match="Identity takes one tensor"):
        apply_rule(layer, [[None, 3], [None, 3]], "it")
