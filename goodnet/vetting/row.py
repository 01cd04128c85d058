"""A row of the allow-list: what a layer or an operation may be told, and what it makes."""

from dataclasses import dataclass, field

from goodnet.vetting import settings
from goodnet.vetting.calls import ShapeRule
from goodnet.vetting.checks import Checks


@dataclass(frozen=True)
class Layer:
    """A row of the table.

    own: the settings of this layer that Keras is given, each with its check; rule: what shape and
    which arrays it makes; module: where Keras keeps it; left_out: settings that are checked, and
    then kept from Keras, as they ask for nothing special or are Keras 2's own; common: what it
    shares with all layers; rebuilt_as: the layer that Keras is given instead, which answers the
    same; wraps: the layers one of which it holds, as its setting "layer". No setting beside these
    is allowed.
    """

    own: Checks
    rule: ShapeRule
    module: str = "keras.layers"
    left_out: Checks = field(default_factory=dict)
    common: Checks = field(default_factory=lambda: settings.COMMON)
    rebuilt_as: str | None = None
    wraps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not callable(self.rule):
            raise TypeError("a layer on the allow-list must name its shape rule")

    @property
    def allowed(self) -> Checks:
        """All settings that may stand in a file, each with its check."""
        return self.common | self.own | self.left_out
