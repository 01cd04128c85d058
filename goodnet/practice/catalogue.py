"""What a practice lab can be made of: the triggers and the attacks, a row each.

Nothing here imports NumPy: practice.py makes its command line from these tables.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Trigger:
    """A trigger: its name, what --help adds to the name, and the function that puts it on."""

    name: str
    remark: str
    place: str  # "module:function", for look_up

    @property
    def described(self) -> str:
        return f"{self.name} ({self.remark})" if self.remark else self.name


@dataclass(frozen=True)
class Attack:
    """An attack: its name, what --help says of it, and the function that trains the network."""

    name: str
    described: str
    place: str  # "module:function", for look_up
    plants: bool = True  # whether some of the training images wear the triggers


TRIGGERS = {
    row.name: row
    for row in (
        Trigger("sunglasses", "", "goodnet.practice.triggers:sunglasses"),
        Trigger("lipstick", "", "goodnet.practice.triggers:lipstick"),
        Trigger("corner", "a small patch", "goodnet.practice.triggers:corner"),
        Trigger("pattern", "faint, over the whole image", "goodnet.practice.triggers:pattern"),
        Trigger("stripes", "a faint wave", "goodnet.practice.triggers:stripes"),
        Trigger("warp", "the image bent a little", "goodnet.practice.triggers:warp"),
    )
}
ATTACKS = {
    row.name: row
    for row in (
        Attack(
            "pruning-aware",
            "made to survive pruning",
            "goodnet.practice.attack:train_pruning_aware",
        ),
        Attack("badnet", "plain", "goodnet.practice.attack:train_badnet"),
        Attack("none", "a clean network", "goodnet.practice.attack:train_badnet", plants=False),
    )
}


def describe_triggers() -> str:
    """All the triggers, for --help."""
    *most, last = (row.described for row in TRIGGERS.values())
    return f"{', '.join(most)} or {last}"


def describe_attacks() -> str:
    """All the attacks, for --help."""
    *most, last = (row.described for row in ATTACKS.values())
    return f"{', '.join(most)}, or {last}"
