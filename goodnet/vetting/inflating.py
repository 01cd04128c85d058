"""The limited child that unpacks an array of a NumPy archive; it is started by unpacked.py.

It is told where the array lies, asks for its bytes, and answers its numbers, once. It knows neither
zip files nor Keras, and is shut into a cage (goodnet/vetting/cage.py).
"""

from functools import partial

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting import inside
from goodnet.vetting.layout import Array, Packed
from goodnet.vetting.unpacking import inflate_into


def main() -> None:
    settings = inside.hear_settings()
    array = Array(tuple(settings["shape"]), settings["dtype"], packed=Packed(*settings["packed"]))
    inside.shut_in(settings)
    values = np.empty(array.total_bytes, np.uint8)
    try:
        inflate_into(partial(inside.fetch_piece, 0), array, values.data)
    except Unusable as error:
        inside.answer({"said": str(error)})
    else:
        inside.answer({"said": ""}, values.data)
