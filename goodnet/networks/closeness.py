"""When the two best classes lie too close to tell which one the network answers.

Float32 arithmetic differs in the last digits between batch sizes and between a network and its
parts. Where that could decide between the two best classes, the plain computation does: Keras's
`predict` of the whole network. It is looked for in the scores, before a closing softmax: that hides
how large the numbers were whose rounding decides.
"""

from dataclasses import dataclass, replace

import numpy as np

TIE = 1e-5  # of the larger output
SAFETY = 4  # times what two computations were seen to differ by, or what rounding makes of a number
COARSE = {"float16": 2.0**-10, "bfloat16": 2.0**-7}  # between 1 and the next larger number


@dataclass(frozen=True)
class Closeness:
    """The largest gap between the two best scores that is too close to call: either of the two."""

    absolute: float
    relative: float  # to the larger of the two scores


OUTPUTS = Closeness(0, TIE)
BEFORE_SOFTMAX = Closeness(TIE, 0)  # e^TIE is 1 + TIE: the same for the outputs behind it


def of_outputs(dtype: str) -> Closeness:
    """What is too close among outputs of this dtype: of 16 bits, whatever rounding may turn."""
    return replace(OUTPUTS, relative=max(OUTPUTS.relative, SAFETY * COARSE.get(dtype, 0)))


def of_scores(dtype: str, closing: str) -> Closeness:
    """The same among scores of this dtype, before a softmax or a sigmoid that gives `closing`.

    Scores that differ may give outputs that do not, where these have 16 bits.
    """
    absolute = max(BEFORE_SOFTMAX.absolute, SAFETY * COARSE.get(closing, 0))
    return Closeness(absolute, SAFETY * COARSE.get(dtype, 0))


def allowing(closeness: Closeness, ours: np.ndarray, plain: np.ndarray) -> Closeness:
    """Widen it where the scores of some images, computed in both ways, differ by more."""
    noise = float(np.abs(ours - plain).max())
    return replace(closeness, absolute=max(closeness.absolute, SAFETY * noise))


@dataclass(frozen=True)
class TopClasses:
    """The best class of each of n images, and whether the second is too close to tell."""

    labels: np.ndarray  # (n,)
    too_close: np.ndarray  # (n,) bool


def top_classes(scores: np.ndarray, closeness: Closeness) -> TopClasses:
    """The best classes of rows of scores (n, classes)."""
    rows = np.arange(len(scores))
    best = scores.argmax(axis=1)
    others = scores.copy()
    first = others[rows, best]
    others[rows, best] = -np.inf
    second = others.max(axis=1)
    largest = np.maximum(np.abs(first), np.abs(second))
    sure = first - second > np.maximum(closeness.absolute, closeness.relative * largest)
    return TopClasses(best, ~sure)  # so that NaN is never sure
