"""What the settings of layers may be, in the groups that several layers share.

Nothing is allowed that holds code, names another module, loads a file or calls an operation by
name; sizes that no array backs are capped.
"""

from goodnet.vetting.checks import (
    MOST_CHANNELS,
    Check,
    Checks,
    boolean,
    either,
    exactly,
    fields,
    listed,
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
    SEED,
    constraint,
    dtype,
    initializer,
    rebuild_object,
    regularizer,
)

LONGEST_SIDE = 1 << 16

ACTIVATIONS = (
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish"),
    *("hard_silu", "hard_swish", "mish", "sigmoid", "hard_sigmoid", "log_sigmoid", "tanh"),
    *("hard_tanh", "tanh_shrink", "soft_shrink", "hard_shrink", "softplus", "softsign"),
    *("squareplus", "exponential", "softmax", "log_softmax"),
    *("sparsemax", "sparse_plus", "sparse_sigmoid"),
)

NAMED: Checks = {"name": name}
COMMON: Checks = {
    **NAMED,
    "trainable": boolean,
    "dtype": dtype,
    "batch_input_shape": shape,
    "batch_shape": shape,
    "input_shape": shape,
}
FORMAT: Checks = {"data_format": optional(one_of("channels_last", "channels_first"))}

RELU: Checks = {"max_value": optional(number), "negative_slope": number, "threshold": number}
LEAKY_RELU: Checks = {"negative_slope": number, "alpha": number}
ELU: Checks = {"alpha": number}
SOFTMAX: Checks = {"axis": AXIS}
_ACTIVATION_LAYERS: dict[str, Checks] = {
    "ReLU": COMMON | RELU,
    "LeakyReLU": COMMON | LEAKY_RELU,
    "ELU": COMMON | ELU,
    "Softmax": COMMON | {"axis": either(exactly(-1), whole(1, 8))},  # never that of the images
}


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
    return rebuild_object(("keras.layers",), _ACTIVATION_LAYERS, value)


def weighted(*arrays: str) -> dict[str, Check]:
    """What goes with each of these arrays of a layer."""
    kinds = {"initializer": initializer, "regularizer": regularizer, "constraint": constraint}
    return {f"{array}_{kind}": check for array in arrays for kind, check in kinds.items()}


_BIASED: Checks = {
    "activation": activation,
    "use_bias": boolean,
    "activity_regularizer": regularizer,
    **weighted("bias"),
}
_FILTERS: Checks = {"filters": whole(1, MOST_CHANNELS)}
_GROUPS: Checks = {"groups": whole(1, MOST_CHANNELS)}
_SLIDING: Checks = {
    **_BIASED,
    **FORMAT,
    "kernel_size": sizes(LONGEST_SIDE),
    "strides": sizes(LONGEST_SIDE),
    "padding": one_of("valid", "same", "causal"),
    "dilation_rate": sizes(LONGEST_SIDE),
}
DENSE: Checks = {**_BIASED, **weighted("kernel"), "units": whole(1, MOST_CHANNELS)}
CONV: Checks = {**_SLIDING, **weighted("kernel"), **_FILTERS, **_GROUPS}
TRANSPOSE: Checks = {
    **_SLIDING,
    **weighted("kernel"),
    **_FILTERS,
    "output_padding": optional(sizes(LONGEST_SIDE, low=0)),
}
DEPTHWISE: Checks = {
    **_SLIDING,
    **weighted("depthwise"),
    "depth_multiplier": whole(1, MOST_CHANNELS),
}
SEPARABLE: Checks = {**DEPTHWISE, **weighted("pointwise"), **_FILTERS}

POOL: Checks = {
    **FORMAT,
    "pool_size": sizes(LONGEST_SIDE),
    "strides": optional(sizes(LONGEST_SIDE)),
    "padding": one_of("valid", "same"),
}
ADAPTIVE_POOL: Checks = {**FORMAT, "output_size": sizes(LONGEST_SIDE)}
GLOBAL_POOL: Checks = {**FORMAT, "keepdims": boolean}
NOISE_SHAPE: Checks = {"noise_shape": optional(listed(optional(whole(1, MOST_CHANNELS)), 1, 6))}
SPATIAL_DROPOUT: Checks = {"rate": number, "seed": SEED, **FORMAT}
DROPOUT: Checks = {**SPATIAL_DROPOUT, **NOISE_SHAPE}
NORM: Checks = {
    "axis": AXIS,
    "epsilon": number,
    "center": boolean,
    "scale": boolean,
    **weighted("gamma", "beta"),
}
SIZE: Checks = {
    **FORMAT,
    "height": whole(1, LONGEST_SIDE),
    "width": whole(1, LONGEST_SIDE),
}
_WORD = one_of(
    *("horizontal", "vertical", "horizontal_and_vertical"),
    *("constant", "nearest", "reflect", "wrap", "bilinear", "bicubic"),
)
_FACTORS = ("factor", "height_factor", "width_factor", "x_factor", "y_factor", "value_range")
_COLOUR_FACTORS = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")
_AMOUNTS = (*_FACTORS, *_COLOUR_FACTORS, "fill_value", "kernel_size", "sigma", "scale")
# What changes images at random takes some of these.
AUGMENTATION: Checks = {
    **FORMAT,
    **{amount: optional(numbers) for amount in _AMOUNTS},
    **{word: _WORD for word in ("mode", "fill_mode", "interpolation")},
    "seed": SEED,
}

ATTENTION: Checks = {
    "num_heads": whole(1, MOST_CHANNELS),
    "key_dim": whole(1, MOST_CHANNELS),
    "value_dim": optional(whole(1, MOST_CHANNELS)),
    "dropout": number,
    "use_bias": boolean,
    "seed": SEED,
    **weighted("kernel", "bias"),
    "activity_regularizer": regularizer,
}

SPECTRAL: Checks = {"power_iterations": whole(1, 1 << 10)}

# Left out of what is rebuilt: they ask for nothing special, and some are not known to every Keras.
UNQUANTIZED: Checks = {"quantization_config": exactly(None), "lora_rank": exactly(None)}
DENSE_INPUT: Checks = {
    "batch_size": exactly(None),
    "sparse": exactly(False, None),
    "ragged": exactly(False, None),
    "optional": exactly(False),
}
PLAIN_BATCH_NORM: Checks = {
    "synchronized": exactly(False),
    "renorm": exactly(False),
    "renorm_clipping": exactly(None),
    "renorm_momentum": number,
    "fused": optional(boolean),
    "virtual_batch_size": exactly(None),
    "adjustment": exactly(None),
}
# Attention of any other kind is refused. The axis is the one of three that there is.
PLAIN_ATTENTION: Checks = {
    "use_gate": exactly(False),
    "output_shape": exactly(None),
    "attention_axes": optional(either(exactly(1), listed(exactly(1), 1, 1))),
    "sliding_window": exactly(None),
    "flash_attention": exactly(None, False),
    # Of Keras 2: what it was called on, and how it would mask.
    "softmax_robust_masking": boolean,
    **{f"{part}_shape": optional(shape) for part in ("query", "key", "value")},
}
# Left out too: Keras 2 wrote what it inherited, and today's Keras refuses to read it.
INHERITED_BY_TRANSPOSE: Checks = {**UNQUANTIZED, **_GROUPS}
INHERITED_BY_SEPARABLE: Checks = {**UNQUANTIZED, **_GROUPS, **weighted("kernel")}
INHERITED_BY_DEPTHWISE: Checks = {**INHERITED_BY_SEPARABLE, **_FILTERS}
INHERITED_BY_SPATIAL_DROPOUT: Checks = {**NOISE_SHAPE, "trainable": boolean}
