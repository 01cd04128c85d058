"""The limited child that unpacks an array of a NumPy archive; it is started by unpacked.py.

It is told where the array lies, and leaves its numbers in a file of just their size, once. It knows
neither zip files nor Keras, may take only so much memory and may write no other file.
"""

import json
import mmap
import resource
import sys

from goodnet.errors import Unusable
from goodnet.vetting.layout import Array, Packed
from goodnet.vetting.unpacking import inflate_into

MEMORY = 1 << 30  # bytes of address space, beside what is unpacked


def main() -> None:
    given = json.loads(sys.stdin.buffer.readline())
    array = Array(tuple(given["shape"]), given["dtype"], packed=Packed(*given["packed"]))
    for kind, value in (
        (resource.RLIMIT_AS, MEMORY + array.total_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))
    said = ""
    try:
        inflate_into(given["file"], array, memoryview(mmap.mmap(given["into"], array.total_bytes)))
    except Unusable as error:
        said = str(error)
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
