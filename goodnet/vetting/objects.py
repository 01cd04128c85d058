"""The allow-list of what stands in a layer's settings as an object of Keras.

Dtype policies, initializers, regularizers and constraints: each by its name or as the object that
Keras writes, rebuilt from plain values. Raises ValueError for all else, as every check does.
"""

from collections.abc import Mapping, Sequence

from goodnet.vetting.checks import (
    DTYPES,
    Checks,
    boolean,
    either,
    exactly,
    fields,
    listed,
    name,
    number,
    one_of,
    optional,
    plain_dict,
    whole,
)

SEED = optional(whole(-(1 << 63), 1 << 64))
AXIS = either(whole(-8, 8), listed(whole(-8, 8), 1, 4))
AXES = either(whole(-8, 8), listed(whole(-8, 8), 0, 4))


def rebuild_object(
    modules: Sequence[str | None], classes: Mapping[str, Checks], value: object
) -> dict:
    """{class_name, config, module, registered_name} of one of these classes, rebuilt.

    modules: where it may be said to be; the first is what the rebuilt object names. classes: the
    settings that each of them may have. Raises ValueError.
    """
    value = plain_dict(value)
    class_name = one_of(*classes)(value.get("class_name"))
    found = fields(
        value,
        {
            "class_name": name,
            "config": lambda config: fields(config or {}, classes[class_name], required=False),
            "module": exactly(*modules),
            "registered_name": exactly(None, class_name),
            "shared_object_id": whole(0, 1 << 64),
            "build_config": plain_dict,
            "__passive_serialization__": boolean,
        },
        required=False,
    )
    return {
        "module": modules[0],
        "class_name": class_name,
        "config": found.get("config", {}),
        "registered_name": None,
    }


def dtype(value: object) -> str | None:
    """A dtype or the policy of one, as its name."""
    if value is None or isinstance(value, str):
        return optional(one_of(*DTYPES))(value)
    policies = {"DTypePolicy": {"name": one_of(*DTYPES)}, "Policy": {"name": one_of(*DTYPES)}}
    modules = ("keras", "keras.dtype_policies", "keras.mixed_precision")
    config = rebuild_object(modules, policies, value)["config"]
    if "name" not in config:
        raise ValueError("a dtype policy without a name")
    return config["name"]


_INITIALIZERS: dict[str, Checks] = {
    "Zeros": {},
    "Ones": {},
    "Constant": {"value": number},
    "Identity": {"gain": number},
    **{key: {} for key in ("GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal")},
    **{key: {} for key in ("LecunUniform", "LecunNormal")},
    "Orthogonal": {"gain": number},
    "VarianceScaling": {
        "scale": number,
        "mode": one_of("fan_in", "fan_out", "fan_avg"),
        "distribution": one_of("normal", "uniform", "truncated_normal", "untruncated_normal"),
    },
    "RandomUniform": {"minval": number, "maxval": number},
    "RandomNormal": {"mean": number, "stddev": number},
    "TruncatedNormal": {"mean": number, "stddev": number},
}
_AXES = optional(either(whole(-8, 8), listed(whole(-8, 8), 1, 8)))
_OF_ALL_INITIALIZERS = {"seed": SEED, "dtype": dtype, "input_axes": _AXES, "output_axes": _AXES}
_INITIALIZERS = {key: {**own, **_OF_ALL_INITIALIZERS} for key, own in _INITIALIZERS.items()}
_SNAKE_INITIALIZERS = (
    *("zeros", "ones", "constant", "identity", "orthogonal", "variance_scaling"),
    *("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform"),
    *("lecun_normal", "random_uniform", "random_normal", "truncated_normal"),
    *("uniform", "normal", "zero", "one"),
)


def initializer(value: object) -> str | None:
    """Any plain initializer, answered with zeros: every array comes from the file."""
    if value is None:
        return None
    if isinstance(value, str):
        one_of(*_INITIALIZERS, *_SNAKE_INITIALIZERS)(value)
    else:
        modules = ("keras.initializers", "tensorflow.keras.initializers", None)
        rebuild_object(modules, _INITIALIZERS, value)
    return "zeros"


_REGULARIZERS: dict[str, Checks] = {
    "L1": {"l1": number},
    "L2": {"l2": number},
    "L1L2": {"l1": number, "l2": number},
    "OrthogonalRegularizer": {"factor": number, "mode": one_of("rows", "columns")},
}


def regularizer(value: object) -> object:
    """One of Keras's own regularizers."""
    if value is None or isinstance(value, str):
        return optional(one_of("l1", "l2", "l1_l2", "L1", "L2", "L1L2"))(value)
    return rebuild_object(("keras.regularizers",), _REGULARIZERS, value)


_CONSTRAINTS: dict[str, Checks] = {
    "MaxNorm": {"max_value": number, "axis": AXIS},
    "MinMaxNorm": {"min_value": number, "max_value": number, "rate": number, "axis": AXIS},
    "NonNeg": {},
    "UnitNorm": {"axis": AXIS},
}


def constraint(value: object) -> object:
    """One of Keras's own constraints."""
    if value is None or isinstance(value, str):
        return optional(one_of("max_norm", "min_max_norm", "non_neg", "unit_norm"))(value)
    return rebuild_object(("keras.constraints",), _CONSTRAINTS, value)
