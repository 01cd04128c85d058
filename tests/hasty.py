"""Unlearning and relearning that take a second, for tests of all that is around them."""

from dataclasses import replace

import pytest

from goodnet.tuning import relearning, shapes
from goodnet.tuning.schedule import USUAL
from goodnet.tuning.searching import Effort

FEW = Effort(steps=2, images=4)
HASTY = replace(
    USUAL,
    cycles=1,
    most_cycles=1,
    rounds=1,
    round_steps=2,
    first_polish_steps=2,
    naming=FEW,
    search=FEW,
)


def hurry_relearning(
    monkeypatch: pytest.MonkeyPatch, steps: int, noise: float | None = None, **others: float
) -> None:
    """Let lessons of relearning take so many steps; `others` are of their paces, too."""
    for name, few in {"STARTS": 2, "KEPT": 1, "FIRST": 1, "LAST": 1}.items():
        monkeypatch.setattr(shapes, name, few)
    for name in ("HARDER", "PAST_SHAPE"):
        monkeypatch.setattr(relearning, name, steps)
    for kind in ("NORMED", "PLAIN"):
        paces = getattr(relearning, kind)
        changed = {
            "past_found": replace(paces.past_found, steps=steps, **others),
            "anew": replace(paces.anew, steps=steps, **others),
            "noise": paces.noise if noise is None else noise,
        }
        monkeypatch.setattr(relearning, kind, relearning.Paces(**changed))
