"""The allow-list: which layers a network may consist of, which settings each has, of what type.

Nothing is allowed that holds code, names another module, loads a file or calls an operation by
name; sizes that no array backs are capped.
"""

from goodnet.vetting.checks import (
    MOST_CHANNELS,
    Check,
    boolean,
    exactly,
    fields,
    listed,
    margins,
    name,
    number,
    numbers,
    one_of,
    optional,
    plain_dict,
    shape,
    sizes,
    whole,
)
from goodnet.vetting.objects import (
    AXIS,
    constraint,
    dtype,
    initializer,
    rebuilt_object,
    regularizer,
)

LONGEST_SIDE = 1 << 16
MOST_UPSAMPLING = 64
MOST_REPEATS = 1 << 16

ACTIVATIONS = (
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish"),
    *("hard_silu", "hard_swish", "mish", "sigmoid", "hard_sigmoid", "log_sigmoid", "tanh"),
    *("hard_tanh", "tanh_shrink", "soft_shrink", "hard_shrink", "softplus", "softsign"),
    *("squareplus", "exponential", "softmax", "log_softmax"),
)


def activation(value: object) -> object:
    """An activation by its name; a function's or a weightless layer's object also."""
    if value is None or isinstance(value, str):
        return optional(one_of(*ACTIVATIONS))(value)
    value = plain_dict(value)
    if value.get("class_name") == "function":
        found = fields(
            value,
            {
                "class_name": name,
                "config": one_of(*ACTIVATIONS),
                "module": exactly("builtins", "keras.activations"),
                "registered_name": exactly(None, "function", value.get("config")),
            },
        )
        return found["config"]
    activations = {key: LAYERS[key] for key in ("ReLU", "LeakyReLU", "ELU", "Softmax")}
    return rebuilt_object(("keras.layers",), activations, value)


_SEED = optional(whole(-(1 << 63), 1 << 64))
_OUTSIDE = {"batch_input_shape": shape, "batch_shape": shape, "input_shape": shape}
_BASE = {"name": name, "trainable": boolean, "dtype": dtype, **_OUTSIDE}
_FORMAT = {"data_format": optional(one_of("channels_last", "channels_first"))}


def _weighted(*arrays: str) -> dict[str, Check]:
    """What goes with each array of a layer."""
    kinds = {"initializer": initializer, "regularizer": regularizer, "constraint": constraint}
    return {f"{array}_{kind}": check for array in arrays for kind, check in kinds.items()}


_UNQUANTIZED = {"quantization_config": exactly(None), "lora_rank": exactly(None)}
_BIASED = {
    "activation": activation,
    "use_bias": boolean,
    "activity_regularizer": regularizer,
    **_weighted("kernel", "bias"),
    **_UNQUANTIZED,
}
_CONV = {
    **_BIASED,
    **_FORMAT,
    "filters": whole(1, MOST_CHANNELS),
    "kernel_size": sizes(LONGEST_SIDE),
    "strides": sizes(LONGEST_SIDE),
    "padding": one_of("valid", "same", "causal"),
    "dilation_rate": sizes(LONGEST_SIDE),
    "groups": whole(1, MOST_CHANNELS),
}
_DEPTHWISE = {
    **_CONV,
    **_weighted("depthwise"),
    "depth_multiplier": whole(1, MOST_CHANNELS),
}
_SEPARABLE = {**_DEPTHWISE, **_weighted("pointwise")}
_TRANSPOSE = {**_CONV, "output_padding": optional(sizes(LONGEST_SIDE, low=0))}
_POOL = {
    **_FORMAT,
    "pool_size": sizes(LONGEST_SIDE),
    "strides": optional(sizes(LONGEST_SIDE)),
    "padding": one_of("valid", "same"),
}
_GLOBAL_POOL = {**_FORMAT, "keepdims": boolean}
_DROPOUT = {
    "rate": number,
    "seed": _SEED,
    "noise_shape": optional(listed(optional(whole(1, MOST_CHANNELS)), 1, 6)),
    **_FORMAT,
}
_NORM = {
    "axis": AXIS,
    "epsilon": number,
    "center": boolean,
    "scale": boolean,
    **_weighted("gamma", "beta"),
}
_RESIZE = {
    **_FORMAT,
    "height": whole(1, LONGEST_SIDE),
    "width": whole(1, LONGEST_SIDE),
}

LAYERS: dict[str, dict[str, Check]] = {
    "InputLayer": {
        **_OUTSIDE,
        "batch_size": exactly(None),
        "sparse": exactly(False, None),
        "ragged": exactly(False, None),
        "optional": exactly(False),
    },
    "Dense": {**_BIASED, "units": whole(1, MOST_CHANNELS)},
    "Conv1D": _CONV,
    "Conv2D": _CONV,
    "Conv2DTranspose": _TRANSPOSE,
    "DepthwiseConv2D": _DEPTHWISE,
    "SeparableConv2D": _SEPARABLE,
    "MaxPooling1D": _POOL,
    "MaxPooling2D": _POOL,
    "AveragePooling1D": _POOL,
    "AveragePooling2D": _POOL,
    "GlobalMaxPooling1D": _GLOBAL_POOL,
    "GlobalMaxPooling2D": _GLOBAL_POOL,
    "GlobalAveragePooling1D": _GLOBAL_POOL,
    "GlobalAveragePooling2D": _GLOBAL_POOL,
    "BatchNormalization": {
        **_NORM,
        **_weighted("moving_mean", "moving_variance"),
        "momentum": number,
        "synchronized": exactly(False),
        "renorm": exactly(False),
        "renorm_clipping": exactly(None),
        "renorm_momentum": number,
        "fused": optional(boolean),
        "virtual_batch_size": exactly(None),
        "adjustment": exactly(None),
    },
    "LayerNormalization": {**_NORM, "rms_scaling": exactly(False)},
    "GroupNormalization": {**_NORM, "groups": whole(-1, MOST_CHANNELS)},
    "UnitNormalization": {"axis": AXIS},
    "Normalization": {
        "axis": optional(AXIS),
        "mean": optional(numbers),
        "variance": optional(numbers),
        "invert": boolean,
    },
    "Rescaling": {"scale": numbers, "offset": numbers},
    "Activation": {"activation": activation},
    "ReLU": {"max_value": optional(number), "negative_slope": number, "threshold": number},
    "LeakyReLU": {"negative_slope": number, "alpha": number},
    "PReLU": {**_weighted("alpha"), "shared_axes": optional(AXIS)},
    "ELU": {"alpha": number},
    "Softmax": {"axis": AXIS},
    "Dropout": _DROPOUT,
    "SpatialDropout1D": _DROPOUT,
    "SpatialDropout2D": _DROPOUT,
    "AlphaDropout": _DROPOUT,
    "GaussianDropout": _DROPOUT,
    "GaussianNoise": {"stddev": number, "seed": _SEED},
    "ActivityRegularization": {"l1": number, "l2": number},
    "Identity": {},
    "Flatten": _FORMAT,
    "Reshape": {"target_shape": listed(whole(-1, 1 << 26), 1, 6)},
    "Permute": {"dims": listed(whole(1, 6), 1, 6)},
    "RepeatVector": {"n": whole(1, MOST_REPEATS)},
    "ZeroPadding1D": {**_FORMAT, "padding": margins},
    "ZeroPadding2D": {**_FORMAT, "padding": margins},
    "Cropping1D": {**_FORMAT, "cropping": margins},
    "Cropping2D": {**_FORMAT, "cropping": margins},
    "UpSampling1D": {"size": sizes(MOST_UPSAMPLING)},
    "UpSampling2D": {
        **_FORMAT,
        "size": sizes(MOST_UPSAMPLING),
        "interpolation": one_of("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"),
    },
    "Resizing": {
        **_RESIZE,
        "interpolation": one_of("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area"),
        "crop_to_aspect_ratio": boolean,
        "pad_to_aspect_ratio": boolean,
        "fill_mode": one_of("constant"),
        "fill_value": number,
        "antialias": boolean,
    },
    "CenterCrop": _RESIZE,
    **{key: {} for key in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")},
    "Concatenate": {"axis": AXIS},
    "Dot": {"axes": AXIS, "normalize": boolean},
    "LayerScale": {"init_values": number, "projection_dim": whole(1, MOST_CHANNELS)},
    "CustomScaleLayer": {"scale": number},
}
LAYERS = {
    key: settings if key == "InputLayer" else {**_BASE, **settings}
    for key, settings in LAYERS.items()
}
LAYERS["InputLayer"] |= {"name": name, "dtype": dtype, "trainable": boolean}

# Where Keras keeps them; the first is what the rebuilt configuration names.
MODULES: dict[str, tuple[str, ...]] = {key: ("keras.layers",) for key in LAYERS} | {
    "LayerScale": ("keras.src.applications.convnext",),
    "CustomScaleLayer": ("keras.src.applications.inception_resnet_v2",),
}
OPERATIONS = ("Add", "Multiply", "Subtract", "Maximum", "Minimum")  # as in x + 3
OPERATIONS_MODULE = "keras.src.ops.numpy"
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
