"""How what the root offers is found: Keras is imported first, as the scripts import it."""

from typing import Any

from goodnet.cli.libraries import find_keras, pin_threads
from goodnet.lookup import look_up


def find(place: str) -> Any:
    """What stands at "module:name". Raises Unusable where it needs Keras and that is not there."""
    if place.startswith("goodnet.front."):
        pin_threads()  # as repair.py does where it trains
        find_keras()
    return look_up(place)
