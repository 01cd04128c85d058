"""The limited child that opens files of strangers first; `goodnet/vetting/quarantine.py` starts it.

HDF5 is a large library in C: a damaged file can make it hang, crash or ask for any amount of
memory, where Python cannot stop it. So that happens here, in a process that may take only so much
time and memory, may write no file, and has no Keras.
"""

import json
import os
import resource
import sys
from typing import BinaryIO

from goodnet.errors import Unusable
from goodnet.printable import say
from goodnet.vetting.hdf5 import vet_images
from goodnet.vetting.rebuilding import rebuild_network


def answer(kind: str, descriptor: int) -> bytes:
    """What is to be said of an open file: a line {status, reason, suffix, bytes}, and the network.

    The network is written anew; of an image set nothing follows the line.
    """
    status, reason, suffix, content = 0, "", "", b""
    try:
        # By its descriptor: whatever the file's name stands for by now, this is the one.
        with open(descriptor, "rb", closefd=False) as file:
            size = os.fstat(descriptor).st_size
            if kind == "network":
                file.seek(0)
                suffix, content = rebuild_network(file, size)
            else:
                vet_images(f"/dev/fd/{descriptor}", size)
    except Unusable as error:
        status, reason = error.exit_status, str(error)
    except MemoryError:
        status, reason = 2, "is damaged: it asks for more memory than a file of its size needs"
    except Exception as error:  # whatever HDF5, h5py and zipfile raise on damage
        status, reason = 2, f"is damaged ({say(error)})"
    header = {"status": status, "reason": reason, "suffix": suffix, "bytes": len(content)}
    return json.dumps(header).encode() + b"\n" + content


def serve(request: dict, out: BinaryIO) -> None:
    """Answer for each file of a request in turn."""
    for kind, descriptor in request["files"]:
        out.write(answer(kind, descriptor))
        out.flush()


def main() -> None:
    request = json.load(sys.stdin)
    for limit, most in (
        (resource.RLIMIT_AS, request["memory"]),
        (resource.RLIMIT_CPU, request["seconds"]),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    serve(request, sys.stdout.buffer)


if __name__ == "__main__":
    main()
