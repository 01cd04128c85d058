"""The allow-list: one table of the layers that a network may consist of.

A new layer is one row here, and one rule in shapes.py or arrays.py where none of theirs fits. What
has no row is refused, and a row without a shape rule cannot be made: a layer that leaves its
input's shape as it is and has no arrays says so, by the rule `keep_shape`.
"""

from dataclasses import replace

from goodnet.errors import Unsafe, Unusable
from goodnet.vetting import arrays, settings, shapes
from goodnet.vetting.calls import Call, Made
from goodnet.vetting.checks import (
    MOST_CHANNELS,
    boolean,
    exactly,
    listed,
    margins,
    number,
    numbers,
    one_of,
    optional,
    quote,
    sizes,
    whole,
)
from goodnet.vetting.objects import AXES, AXIS, SEED
from goodnet.vetting.operations import OPERATIONS
from goodnet.vetting.row import Layer
from goodnet.vetting.settings import FORMAT, activation, weighted

MOST_UPSAMPLING = 64
MOST_REPEATS = 1 << 16


_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
# What changes images at random changes none unless it trains. Keras 3 has no longer all of them.
_AUGMENTATIONS = (
    *("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomShear"),
    *("RandomHeight", "RandomWidth", "RandomPerspective", "RandomElasticTransform"),
    *("RandomContrast", "RandomBrightness", "RandomHue", "RandomSaturation", "RandomColorJitter"),
    *("RandomGrayscale", "RandomColorDegeneration", "RandomPosterization", "RandomInvert"),
    *("RandomSharpness", "RandomGaussianBlur", "RandomErasing"),
)

_WITH_KERNELS = ("Dense", "Conv1D", "Conv2D", "Conv2DTranspose", "DepthwiseConv2D")


def _normalize_spectrally(call: Call) -> Made:
    """SpectralNormalization: what its layer makes. It keeps a vector to find its kernel's norm."""
    layer = call.settings["layer"]
    inner = Call(layer["class_name"], layer["config"], call.inputs)
    made = LAYERS[inner.layer].rule(inner)
    vector = {"vector_u": (1, made.arrays["kernel"][-1])}
    return replace(made, arrays=made.arrays | vector)


LAYERS: dict[str, Layer] = {
    "InputLayer": Layer({}, shapes.keep_shape, left_out=settings.DENSE_INPUT),
    # Layers with kernels
    "Dense": Layer(settings.DENSE, arrays.connect_densely, left_out=settings.UNQUANTIZED),
    "Conv1D": Layer(settings.CONV, arrays.convolve, left_out=settings.UNQUANTIZED),
    "Conv2D": Layer(settings.CONV, arrays.convolve, left_out=settings.UNQUANTIZED),
    "Conv2DTranspose": Layer(
        settings.TRANSPOSE, arrays.convolve_transposed, left_out=settings.INHERITED_BY_TRANSPOSE
    ),
    "DepthwiseConv2D": Layer(
        settings.DEPTHWISE, arrays.convolve_depthwise, left_out=settings.INHERITED_BY_DEPTHWISE
    ),
    "SeparableConv2D": Layer(
        settings.SEPARABLE, arrays.convolve_depthwise, left_out=settings.INHERITED_BY_SEPARABLE
    ),
    # Pooling
    "MaxPooling1D": Layer(settings.POOL, shapes.pool),
    "MaxPooling2D": Layer(settings.POOL, shapes.pool),
    "AveragePooling1D": Layer(settings.POOL, shapes.pool),
    "AveragePooling2D": Layer(settings.POOL, shapes.pool),
    "GlobalMaxPooling1D": Layer(settings.GLOBAL_POOL, shapes.pool_globally),
    "GlobalMaxPooling2D": Layer(settings.GLOBAL_POOL, shapes.pool_globally),
    "GlobalAveragePooling1D": Layer(settings.GLOBAL_POOL, shapes.pool_globally),
    "GlobalAveragePooling2D": Layer(settings.GLOBAL_POOL, shapes.pool_globally),
    "AdaptiveMaxPooling1D": Layer(settings.ADAPTIVE_POOL, shapes.pool_to_size),
    "AdaptiveMaxPooling2D": Layer(settings.ADAPTIVE_POOL, shapes.pool_to_size),
    "AdaptiveAveragePooling1D": Layer(settings.ADAPTIVE_POOL, shapes.pool_to_size),
    "AdaptiveAveragePooling2D": Layer(settings.ADAPTIVE_POOL, shapes.pool_to_size),
    # Normalization
    "BatchNormalization": Layer(
        {**settings.NORM, **weighted("moving_mean", "moving_variance"), "momentum": number},
        arrays.normalize("moving mean", "moving variance"),
        left_out=settings.PLAIN_BATCH_NORM,
    ),
    "LayerNormalization": Layer(
        settings.NORM, arrays.normalize(), left_out={"rms_scaling": exactly(False)}
    ),
    "GroupNormalization": Layer(
        {**settings.NORM, "groups": whole(-1, MOST_CHANNELS)}, arrays.normalize()
    ),
    "RMSNormalization": Layer({"axis": AXIS, "epsilon": number}, arrays.scale_axes),
    "UnitNormalization": Layer({"axis": AXIS}, shapes.keep_images),
    "Normalization": Layer(
        {
            "axis": optional(AXES),
            "mean": optional(numbers),
            "variance": optional(numbers),
            "invert": boolean,
        },
        arrays.standardize,
    ),
    "Rescaling": Layer({"scale": numbers, "offset": numbers}, shapes.rescale),
    "MultiHeadAttention": Layer(
        settings.ATTENTION, arrays.attend, left_out=settings.PLAIN_ATTENTION
    ),
    "LayerScale": Layer(
        {"init_values": number, "projection_dim": whole(1, MOST_CHANNELS)},
        arrays.scale_channels,
        module="keras.src.applications.convnext",
    ),
    "SpectralNormalization": Layer(settings.SPECTRAL, _normalize_spectrally, wraps=_WITH_KERNELS),
    # Activations
    "Activation": Layer({"activation": activation}, shapes.keep_shape),
    "ReLU": Layer(settings.RELU, shapes.keep_shape),
    "LeakyReLU": Layer(settings.LEAKY_RELU, shapes.keep_shape),
    "PReLU": Layer({**weighted("alpha"), "shared_axes": optional(AXIS)}, arrays.scale_negatives),
    "ELU": Layer(settings.ELU, shapes.keep_shape),
    "Softmax": Layer(settings.SOFTMAX, shapes.keep_images),
    # What does something in training alone
    "Dropout": Layer(settings.DROPOUT, shapes.keep_shape),
    "SpatialDropout1D": Layer(
        settings.SPATIAL_DROPOUT,
        shapes.keep_shape,
        left_out=settings.INHERITED_BY_SPATIAL_DROPOUT,
    ),
    "SpatialDropout2D": Layer(
        settings.SPATIAL_DROPOUT,
        shapes.keep_shape,
        left_out=settings.INHERITED_BY_SPATIAL_DROPOUT,
    ),
    "AlphaDropout": Layer(settings.DROPOUT, shapes.keep_shape),
    "GaussianDropout": Layer(settings.DROPOUT, shapes.keep_shape),
    "GaussianNoise": Layer({"stddev": number, "seed": SEED}, shapes.keep_shape),
    "ActivityRegularization": Layer({"l1": number, "l2": number}, shapes.keep_shape),
    "Identity": Layer({}, shapes.keep_shape),
    **{
        name: Layer({}, shapes.keep_shape, left_out=settings.AUGMENTATION, rebuilt_as="Identity")
        for name in _AUGMENTATIONS
    },
    # Values moved, none changed
    "Flatten": Layer(FORMAT, shapes.flatten),
    "Reshape": Layer({"target_shape": listed(whole(-1, 1 << 26), 1, 6)}, shapes.reshape),
    "Permute": Layer({"dims": listed(whole(1, 6), 1, 6)}, shapes.permute),
    "RepeatVector": Layer({"n": whole(1, MOST_REPEATS)}, shapes.repeat),
    "ZeroPadding1D": Layer({**FORMAT, "padding": margins}, shapes.pad),
    "ZeroPadding2D": Layer({**FORMAT, "padding": margins}, shapes.pad),
    "Cropping1D": Layer({**FORMAT, "cropping": margins}, shapes.crop),
    "Cropping2D": Layer({**FORMAT, "cropping": margins}, shapes.crop),
    # Resized images
    "UpSampling1D": Layer({"size": sizes(MOST_UPSAMPLING)}, shapes.upsample),
    "UpSampling2D": Layer(
        {**FORMAT, "size": sizes(MOST_UPSAMPLING), "interpolation": one_of(*_INTERPOLATIONS)},
        shapes.upsample,
    ),
    "Resizing": Layer(
        {
            **settings.SIZE,
            "interpolation": one_of(*_INTERPOLATIONS, "area"),
            "crop_to_aspect_ratio": boolean,
            "pad_to_aspect_ratio": boolean,
            "fill_mode": one_of("constant"),
            "fill_value": number,
            "antialias": boolean,
        },
        shapes.resize,
    ),
    "CenterCrop": Layer(settings.SIZE, shapes.resize),
    "RandomCrop": Layer({**settings.SIZE, "seed": SEED}, shapes.crop_randomly),
    # Several tensors made one
    "Add": Layer({}, shapes.merge),
    "Subtract": Layer({}, shapes.merge),
    "Multiply": Layer({}, shapes.merge),
    "Average": Layer({}, shapes.merge),
    "Maximum": Layer({}, shapes.merge),
    "Minimum": Layer({}, shapes.merge),
    "Concatenate": Layer({"axis": AXIS}, shapes.concatenate),
    "Dot": Layer({"axes": AXIS, "normalize": boolean}, shapes.dot),
    "CustomScaleLayer": Layer(
        {"scale": number}, shapes.merge, module="keras.src.applications.inception_resnet_v2"
    ),
}

# Where Keras keeps its kinds of networks; the first is what the rebuilt configuration names.
NETWORKS: dict[str, tuple[str, ...]] = {
    "Functional": (
        *("keras.src.models.functional", "keras", "keras.models"),
        *("keras.engine.functional", "keras.src.engine.functional"),
    ),
    "Model": ("keras", "keras.models", "keras.engine.training", "keras.src.engine.training"),
    "Sequential": (
        *("keras", "keras.models", "keras.src.models.sequential"),
        *("keras.engine.sequential", "keras.src.engine.sequential"),
    ),
}


def find_layer(class_name: object, module: object, place: str) -> Layer:
    """The row of a layer or an operation.

    Raises Unsafe, which names the place, where none is, and Unusable where it is an operation that
    the file does not say to be Keras's own, as Keras itself writes it into an .h5.
    """
    row = None
    if isinstance(class_name, str):
        operation = OPERATIONS.get(class_name)
        own = operation is not None and module == operation.module
        row = operation if own else LAYERS.get(class_name)
        if row is None and operation is not None and module is None:
            raise Unusable(
                f"{place}: Keras reads no operation {quote(class_name)} out of an .h5; save the "
                "network as .keras"
            )
    if row is None:
        raise Unsafe(f"{place}: the layer {quote(class_name)} is not on the allow-list")
    return row
