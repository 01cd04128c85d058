"""The goodnet G: the class that B and B' agree on, else class N+1, which has index N.

It can be told from the answers of B and B' (`goodnet_labels`), or be a network of its own
(`goodnet_network`), with B and B' inside it and layers that tell whether they agree. The network
has N+1 outputs and takes the same images as B, with their pixels divided by the same scale. Every
layer is one of Keras's own and holds no code, so plain Keras opens the file anywhere.

Where the classes that a backdoor leads to are known, G may be aimed at them: it rejects an image
only where B answers one of them and B' another class, and elsewhere answers as B' does. Two
networks that are right on three images in four differ on one in seven, mostly for no backdoor.
"""

from collections.abc import Collection

import keras
import numpy as np
from keras import layers

from goodnet.errors import Unusable
from goodnet.networks.decision import decide, find_in_common
from goodnet.networks.graph import closing_layer, is_softmax, named_inputs, unroll
from goodnet.networks.loading import LoadedNetwork, count_classes, input_shape, load_network
from goodnet.networks.silenced import find_silenced
from goodnet.networks.two_classes import PROBABILITIES, one_output
from goodnet.vetting.quarantine import NetworkFile

ANSWERS = ("answer_of_B", "answer_of_B_prime")  # the layers of G that hold what they answer


def goodnet_labels(
    labels: np.ndarray,
    repaired_labels: np.ndarray,
    n_classes: int,
    targets: Collection[int] | None = None,
) -> np.ndarray:
    """G's answers from those of B and B', arrays of class indices that broadcast.

    An image on which they differ is rejected as backdoored: its answer is `n_classes`, the
    number of B's outputs. With `targets` only where B answers one of them.
    """
    rejected = labels != repaired_labels
    if targets is not None:
        rejected = rejected & np.isin(labels, list(targets))
    return np.where(rejected, n_classes, repaired_labels)


def goodnet_network(
    network: keras.Model, repaired: keras.Model, targets: Collection[int] | None = None
) -> keras.Model:
    """G from B and a repaired B': (n, height, width, colours) -> (n, N + 1) probabilities.

    The index of the largest output is G's answer: the class that B and B' agree on, else N; with
    `targets` the class that B' answers, but N where B answers one of them and B' does not. As for
    `np.argmax`, the first of equally large outputs of B, or of B', is its answer.

    One half of the probability is G's decision: 1/2 for its answer, 0 for the others. The other
    half says how much B and B' have in common: min(p_i, p'_i) / 2 for class i, where p and p' are
    their probabilities, and what is left for index N. So the last output is above 1/2 exactly where
    G rejects the image, and what it has above 1/2 or, elsewhere, above 0 is half of
    1 - sum min(p_i, p'_i), the total variation distance of p and p': 0 where B and B' say the same,
    1/2 where they have nothing in common. Outputs that are not a softmax's are put through one to
    make p of them; the decision is made before.

    Where B' is B with channels of one layer silenced, what stands before that layer's measuring
    point is there once, else both networks are there as they are. Raises Unusable where B' does
    not fit B.
    """
    fits = [(input_shape(model), count_classes(model)) for model in (network, repaired)]
    if fits[0] != fits[1]:
        raise Unusable(f"B takes and answers {fits[0]}, but B' {fits[1]}; they must be alike")
    image = keras.Input(
        batch_shape=network.inputs[0].shape, dtype=network.inputs[0].dtype, name="image"
    )
    answers = _answers_behind_one_trunk(network, repaired, image)
    if answers is None:
        answers = [
            keras.Model(model.inputs[0], model.outputs[0], name=name)(image)
            for model, name in ((network, "B"), (repaired, "B_prime"))
        ]
    dtype = "float64" if answers[0].dtype == "float64" else "float32"
    own, other = (
        layers.Activation("linear", name=name, dtype=dtype)(answer)
        for name, answer in zip(ANSWERS, answers, strict=True)
    )
    own_probabilities, other_probabilities = (
        answer
        if _gives_probabilities(model)
        else layers.Softmax(name=name.replace("answer", "probabilities"), dtype=dtype)(answer)
        for model, name, answer in zip((network, repaired), ANSWERS, (own, other), strict=True)
    )
    decision = decide(own, other, dtype, targets)
    shared = find_in_common(own_probabilities, other_probabilities, dtype)
    outputs = layers.Average(name="output", dtype=dtype)([decision, shared])
    return keras.Model(image, outputs, name="goodnet")


def _gives_probabilities(network: keras.Model) -> bool:
    found = one_output(network)
    return found.form == PROBABILITIES if found else is_softmax(closing_layer(network))


def is_goodnet(network: keras.Model) -> bool:
    """Whether the network is a G as `goodnet_network` makes it."""
    names = {layer.name for layer in network.layers}
    return network.name == "goodnet" and names.issuperset(ANSWERS)


def load_b(source: NetworkFile) -> LoadedNetwork:
    """Load a network that is not a G. Raises Unusable or Unsafe where it cannot be used."""
    loaded = load_network(source)
    refuse_goodnet(loaded)
    return loaded


def refuse_goodnet(loaded: LoadedNetwork) -> None:
    """Raise Unusable where the network is a G, and B or B' is needed."""
    if is_goodnet(loaded.model):
        raise Unusable(
            "is a goodnet, which holds B and B'; here belongs one of them. "
            f"To judge the goodnet: eval.py CLEAN BACKDOORED {loaded.path}",
            loaded.path,
        )


def with_inner_answers(network: keras.Model) -> keras.Model:
    """A G with two more outputs, what B and B' answer inside it; any other network as it is."""
    if not is_goodnet(network):
        return network
    inside = [network.get_layer(name).output for name in ANSWERS]
    return keras.Model(network.inputs[0], [network.outputs[0], *inside])


def _answers_behind_one_trunk(
    network: keras.Model, repaired: keras.Model, image: keras.KerasTensor
) -> list[keras.KerasTensor] | None:
    """The answers of B and B', or None where B' is more than B with channels silenced."""
    found = find_silenced(network, repaired)
    if found is None:
        return None
    split = found.split
    inputs = named_inputs(split.head)
    head = keras.Model(inputs, unroll(split.head, inputs)[0], name="head")
    measured, *past = keras.tree.flatten(split.trunk(image))
    kept = found.kept.astype(float).tolist()
    silenced = layers.Rescaling(kept, name="silenced", dtype=measured.dtype)(measured)
    return [head([values, *past]) for values in (measured, silenced)]
