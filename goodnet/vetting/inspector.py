"""The limited child that opens files of strangers first; `goodnet/vetting/quarantine.py` starts it.

HDF5 is a large library in C: a damaged file can make it hang, crash or ask for any amount of
memory, where Python cannot stop it. So that happens here, in a process that may take only so much
time and memory, may write no file, and has no Keras.
"""

import json
import os
import resource
import sys
from dataclasses import replace
from typing import BinaryIO

from goodnet.errors import Unusable
from goodnet.printable import say
from goodnet.vetting.archives import survey_archive
from goodnet.vetting.changes import take
from goodnet.vetting.layout import write_layout
from goodnet.vetting.parts import NOTHING
from goodnet.vetting.reading import Keys
from goodnet.vetting.rewriting import rewrite_network
from goodnet.vetting.survey import survey_images
from goodnet.vetting.taking_apart import ZIP_START, take_apart


def answer(kind: str, descriptor: int, wanted: int = -1, *, keys: Keys | None = None) -> bytes:
    """What is to be said of an open file: a line of JSON, then so many bytes as it says.

    The line is {status, reason, bytes, suffix, configuration, contents}; the bytes are the values
    of a network's arrays, or the layout of an image set (goodnet/vetting/layout.py). A "copy" is a
    network's whole file with the changes that are `wanted`, another open file. keys: the names of
    an image set's images and labels, where the user gives them.
    """
    status, reason, parts = 0, "", NOTHING
    try:
        # By its descriptor: whatever the file's name stands for by now, this is the one.
        with open(descriptor, "rb", closefd=False) as file:
            size = os.fstat(descriptor).st_size
            if kind == "network":
                file.seek(0)
                parts = take_apart(file, size)
            elif kind == "copy":
                with open(wanted, "rb", closefd=False) as changes:
                    parts = replace(NOTHING, values=rewrite_network(file, take(changes)))
            else:
                is_archive = os.pread(descriptor, len(ZIP_START), 0) == ZIP_START
                survey = survey_archive if is_archive else survey_images
                parts = replace(NOTHING, values=write_layout(survey(file, size, keys)))
    except Unusable as error:
        status, reason = error.exit_status, str(error)
    except MemoryError:
        status, reason = 2, "is damaged: it asks for more memory than a file of its size needs"
    except Exception as error:  # whatever HDF5, h5py and zipfile raise on damage
        status, reason = 2, f"is damaged ({say(error)})"
    header = {"status": status, "reason": reason, "bytes": len(parts.values)}
    return json.dumps(header | parts.as_json()).encode() + b"\n" + parts.values


def serve(request: dict, out: BinaryIO) -> None:
    """Answer for each file of a request in turn."""
    keys = request["keys"] and (request["keys"][0], request["keys"][1])
    for file in request["files"]:
        out.write(answer(*file, keys=keys))
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
