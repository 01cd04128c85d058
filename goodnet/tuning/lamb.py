"""LAMB, with which all that is trained here is trained: its rate is of each array's own size.

You et al. (2020), "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes",
algorithm 2. Keras has it, too, but takes powers where squares do: that took a fifth of a step.
"""

from __future__ import annotations

import keras
from keras import ops

from goodnet.tuning.gradients import Tensor


class Lamb(keras.optimizers.Adam):
    """Adam's direction; how far is a share of the array's own norm."""

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        """Change one array; one of zeros by Adam's own step times the rate."""
        before = ops.copy(variable)
        super().update_step(gradient, variable, 1.0)
        change = ops.subtract(variable, before)
        own, moved = _norm(before), _norm(change)
        ratio = ops.where((own > 0) & (moved > 0), own / moved, 1.0)
        self.assign(variable, before + ops.cast(learning_rate, change.dtype) * ratio * change)


def _norm(array: Tensor) -> Tensor:
    return ops.sqrt(ops.sum(ops.square(array)))
