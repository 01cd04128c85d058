"""What a practice lab can be made of: the triggers, attacks and networks, a row each.

Nothing here imports NumPy: practice.py makes its command line from these tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from goodnet.errors import Unusable


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
    networks: tuple[str, ...] = ("deepid", "resnet")  # of NETWORKS: which it can train


@dataclass(frozen=True)
class Network:
    """A kind of network: its name, what --help says of it, and the function that makes one."""

    name: str
    described: str
    place: str  # "module:function", for look_up
    attack: str  # of ATTACKS: where none is asked for


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
            networks=("deepid",),
        ),
        Attack("badnet", "plain", "goodnet.practice.attack:train_badnet"),
        Attack("none", "a clean network", "goodnet.practice.attack:train_badnet", plants=False),
    )
}
NETWORKS = {
    row.name: row
    for row in (
        Network("deepid", "the course's", "goodnet.networks.deepid:deepid", "pruning-aware"),
        Network("resnet", "residual, with batch norm", "goodnet.practice.resnet:resnet", "badnet"),
    )
}


def describe(rows: Mapping[str, Trigger | Attack | Network]) -> str:
    """All of them, for --help."""
    *most, last = (row.described for row in rows.values())
    return f"{', '.join(most)} or {last}"


def choose_attack(network: str, attack: str | None) -> str:
    """The attack that is asked for, or else the network's own.

    Raises Unusable where it is for other networks.
    """
    chosen = ATTACKS[attack or NETWORKS[network].attack]
    if network not in chosen.networks:
        able = " or ".join(chosen.networks)
        raise Unusable(f"argument --attack: {chosen.name} is for --network {able}")
    return chosen.name
