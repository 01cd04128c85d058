"""How what the root offers is found: Keras is imported first, as the scripts import it."""

import os
from typing import Any

from goodnet.cli.libraries import find_keras
from goodnet.lookup import look_up


def find(place: str) -> Any:
    """What stands at "module:name". Raises Unusable where it needs Keras and that is not there."""
    if place.startswith("goodnet.front."):
        # As repair.py has it where it trains: how work is shared out decides the last digits.
        os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
        find_keras()
    return look_up(place)
