"""The layers at the end of the goodnet G: its decision, and what B and B' have in common."""

from collections.abc import Collection

import keras
from keras import layers

STEEP = 1e30  # times the smallest distance between two outputs that differ, it is above 1


def decide(
    answer: keras.KerasTensor,
    repaired_answer: keras.KerasTensor,
    dtype: str,
    targets: Collection[int] | None,
) -> keras.KerasTensor:
    """1 for G's answer and 0 for the others, (n, N + 1), made of the answers (n, N).

    targets: the only classes of B's that are rejected; None: all.
    """
    n_classes = answer.shape[-1]
    column = layers.Reshape((n_classes, 1), name="column", dtype=dtype)
    largest = layers.GlobalMaxPooling1D(name="largest", dtype=dtype)
    below = layers.Subtract(name="below_largest", dtype=dtype)
    # Ranks are N for class 0, N - 1 for class 1, …; a maximum keeps its rank, all else gets 0.
    ranks = list(range(n_classes, 0, -1))
    ranked = layers.Rescaling([STEEP * rank for rank in ranks], ranks, name="ranked", dtype=dtype)
    ranks_of_maxima = layers.ReLU(name="ranks_of_maxima", dtype=dtype)

    def rank_maxima(outputs: keras.KerasTensor) -> keras.KerasTensor:
        return ranks_of_maxima(ranked(below([outputs, largest(column(outputs))])))

    rank = rank_maxima(answer)
    first = largest(column(rank))
    repaired_rank = rank_maxima(repaired_answer)
    repaired_first = largest(column(repaired_rank))
    either_way = [
        layers.Subtract(name=name, dtype=dtype)(pair)
        for name, pair in (
            ("ahead", [first, repaired_first]),
            ("behind", [repaired_first, first]),
        )
    ]
    apart = layers.Maximum(name="apart", dtype=dtype)(either_way)
    rejected = layers.ReLU(max_value=1, name="rejected", dtype=dtype)(apart)
    # The rank of the first maximum less the largest rank is 0, all others' is -1 or less.
    behind_first = layers.Subtract(name="behind_first", dtype=dtype)
    chosen = layers.Rescaling(1.0, 1.0, name="chosen_or_less", dtype=dtype)
    decided = chosen(behind_first([rank, first]))
    if targets is not None:
        # Less 2 for each class that is no target, so that only a target's 1 is left above 0.
        offset = [0.0 if label in targets else -2.0 for label in range(n_classes)]
        aimed = layers.Rescaling(1.0, offset, name="aimed_or_less", dtype=dtype)(decided)
        aimed = layers.ReLU(name="aimed", dtype=dtype)(largest(column(aimed)))
        rejected = layers.Minimum(name="rejected_if_aimed", dtype=dtype)([rejected, aimed])
        decided = chosen(behind_first([repaired_rank, repaired_first]))
    agreed = layers.Subtract(name="agreed_or_less", dtype=dtype)([decided, rejected])
    agreed = layers.ReLU(name="agreed", dtype=dtype)(agreed)
    return layers.Concatenate(name="decision", dtype=dtype)([agreed, rejected])


def find_in_common(
    probabilities: keras.KerasTensor, repaired_probabilities: keras.KerasTensor, dtype: str
) -> keras.KerasTensor:
    """The smaller probability of each class, and what they lack of 1: (n, N + 1)."""
    smaller = layers.Minimum(name="smaller", dtype=dtype)([probabilities, repaired_probabilities])
    lacking = layers.Dense(
        1,
        activation="relu",
        kernel_initializer=keras.initializers.Constant(-1.0),
        bias_initializer="ones",
        trainable=False,
        name="lacking",
        dtype=dtype,
    )(smaller)
    return layers.Concatenate(name="in_common", dtype=dtype)([smaller, lacking])
