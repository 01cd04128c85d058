"""A network of one output, as a network of two classes: class 1 where the output is large enough.

Behind a sigmoid that is above 1/2, and where nothing closes the network above 0. All other code
sees two classes and needs no second case; the network itself stays as its file holds it.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from goodnet.errors import Unusable
from goodnet.networks.graph import Tensor, call_making, closing_layer, producer

_CALLED = {"Sigmoid": keras.activations.sigmoid, "HardSigmoid": keras.activations.hard_sigmoid}
SIGMOIDS = tuple(_CALLED.values())


class Form(NamedTuple):
    """What the two classes make of the one output, (scale, offset) each: x * scale + offset."""

    class_0: tuple[float, float]
    class_1: tuple[float, float]


# 1 - p and p. In any float p > 1 - p is the same as p > 1/2, to the last digit.
PROBABILITIES = Form((-1.0, 1.0), (1.0, 0.0))
# Logits whose softmax is the sigmoid's 1 - p and p. Of all such pairs, [0, z] for one, they alone
# treat the classes alike; their difference, which is all that cross-entropy sees, is z in each.
LOGITS = Form((-0.5, 0.0), (0.5, 0.0))

# Behind an activation they change no value.
_CHANGING_NOTHING = (layers.Flatten, layers.Reshape, layers.Dropout, layers.Identity)


class OneOutput(NamedTuple):
    """What a network of two classes makes these of: its tensor (n, 1), and how."""

    tensor: keras.KerasTensor
    form: Form


def with_two_classes(network: keras.Model) -> keras.Model:
    """A network of one output in a network that answers (n, 2); any other network as it is.

    Raises Unusable where it cannot be told what the one output means.
    """
    if network.outputs[0].shape[-1] != 1:
        return network
    activation = _closing_activation(network)
    if activation in SIGMOIDS:
        form = PROBABILITIES
    elif activation is keras.activations.linear:
        form = LOGITS
    else:
        found = getattr(activation, "__name__", None) or type(closing_layer(network)).__name__
        raise Unusable(
            f"has one output, which ends in {found}; that tells two classes behind a sigmoid (1 "
            "above 0.5) or where nothing closes the network (1 above 0); else it needs an output "
            "for each class"
        )
    tensor = network.inputs[0]
    image = keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name="image_of_two_classes")
    answer = keras.tree.flatten(network(image))[0]
    return keras.Model(image, apply_form(answer, form, network.name), name="two_classes")


def apply_form(output: keras.KerasTensor, form: Form, name: str) -> keras.KerasTensor:
    """What a form makes of one output (n, 1): (n, 2). The layers are named after `name`."""
    classes = [
        layers.Rescaling(*of_class, name=f"{name}.class_{label}", dtype=output.dtype)(output)
        for label, of_class in enumerate(form)
    ]
    return layers.Concatenate(name=f"{name}.classes", dtype=output.dtype)(classes)


def one_output(network: keras.Model) -> OneOutput | None:
    """What a network tells its two classes by; None where it is no network of one output."""
    last = call_making(network.outputs[0])
    if type(last.operation) is not layers.Concatenate or len(last.input_tensors) != 2:
        return None
    tensors, forms = [], []
    for tensor in last.input_tensors:
        layer = producer(tensor)
        if type(layer) is not layers.Rescaling or tensor.shape[1:] != (1,):
            return None
        tensors.append(call_making(tensor).input_tensors[0])
        forms.append((layer.scale, layer.offset))
    if tensors[0] is tensors[1] and tuple(forms) in (PROBABILITIES, LOGITS):
        return OneOutput(tensors[0], Form(*forms))
    return None


def wrapped(network: keras.Model) -> keras.Model | None:
    """The network that `with_two_classes` put into this one; None where it did not."""
    found = one_output(network)
    inner = found and producer(found.tensor)
    if found is None or not isinstance(inner, keras.Model):
        return None
    given = call_making(found.tensor).input_tensors
    return inner if len(given) == 1 and given[0] is network.inputs[0] else None


def predict_plainly(network: keras.Model, given: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """What Keras's `predict` gives for a batch, (n, classes): two for a network of one output.

    given: the images, or what a head takes in their place.
    """
    inner, found = wrapped(network), one_output(network)
    if inner is None or found is None:
        return network.predict_on_batch(given)
    output = keras.tree.flatten(inner.predict_on_batch(given))[0]
    return np.concatenate([output * scale + offset for scale, offset in found.form], axis=1)


def logits_of_two(output: Tensor, form: Form, smallest: float) -> Tensor:
    """The logits (n, 2) of what a network gives as its one output (n, 1).

    No probability is taken to be less than `smallest`.
    """
    if form == PROBABILITIES:
        yes, no = (keras.ops.maximum(part, smallest) for part in (output, 1 - output))
        output = keras.ops.log(yes) - keras.ops.log(no)
    return keras.ops.concatenate([scale * output for scale, _ in LOGITS], axis=1)


def _closing_activation(network: keras.Model) -> object:
    """The activation that gives the network's answer, None where it is not one."""
    node = call_making(network.outputs[0])
    while isinstance(node.operation, _CHANGING_NOTHING) or _is_linear(node.operation):
        node = call_making(node.input_tensors[0])
    if isinstance(node.operation, keras.Model):
        return _closing_activation(node.operation)
    called = _CALLED.get(type(node.operation).__name__)  # as a call of keras.ops
    return called or getattr(node.operation, "activation", None)


def _is_linear(layer: keras.Operation) -> bool:
    """Whether it is a layer that only casts to another dtype, as mixed precision has at its end."""
    return isinstance(layer, layers.Activation) and layer.activation is keras.activations.linear
