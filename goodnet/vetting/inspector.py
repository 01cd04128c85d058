"""The limited child that opens files of strangers first; `goodnet/vetting/quarantine.py` starts it.

HDF5 is a large library in C: a damaged file can make it hang, crash or ask for any amount of
memory, where Python cannot stop it. So that happens here, in a process that may take only so much
time and memory, has no Keras, and is shut into a cage (goodnet/vetting/cage.py).
"""

from dataclasses import replace
from functools import partial
from typing import BinaryIO, cast

from goodnet.errors import Unusable
from goodnet.printable import say
from goodnet.vetting import inside
from goodnet.vetting.archives import survey_archive
from goodnet.vetting.changes import take
from goodnet.vetting.layout import write_layout
from goodnet.vetting.parts import NOTHING
from goodnet.vetting.reading import Keys
from goodnet.vetting.rewriting import rewrite_network
from goodnet.vetting.survey import survey_images
from goodnet.vetting.taking_apart import ZIP_START, take_apart


def answer(
    kind: str, file: BinaryIO, wanted: BinaryIO | None = None, *, keys: Keys | None = None
) -> tuple[dict, bytes]:
    """What is to be said of a file: {status, reason, bytes, suffix, configuration, contents}.

    And the bytes: the values of a network's arrays, or the layout of an image set
    (goodnet/vetting/layout.py). A "copy" is a network's whole file with the changes that are
    `wanted`, another file. keys: the names of an image set's images and labels, where the user
    gives them.
    """
    status, reason, parts = 0, "", NOTHING
    try:
        size = file.seek(0, 2)
        file.seek(0)
        if kind == "network":
            parts = take_apart(file, size)
        elif wanted:
            parts = replace(NOTHING, values=rewrite_network(file, take(wanted)))
        else:
            is_archive = file.read(len(ZIP_START)) == ZIP_START
            survey = survey_archive if is_archive else survey_images
            parts = replace(NOTHING, values=write_layout(survey(file, size, keys)))
    except Unusable as error:
        status, reason = error.exit_status, str(error)
    except MemoryError:
        status, reason = 2, "is damaged: it asks for more memory than a file of its size needs"
    except Exception as error:  # whatever HDF5, h5py and zipfile raise on damage
        status, reason = 2, f"is damaged ({say(error)})"
    header = {"status": status, "reason": reason, "bytes": len(parts.values)}
    return header | parts.as_json(), parts.values


def main() -> None:
    settings = inside.hear_settings()
    inside.shut_in(settings)
    keys = settings["keys"] and (settings["keys"][0], settings["keys"][1])
    number = 0
    for kind, *sizes in settings["files"]:
        files = []
        for size in sizes:
            file = inside.PagedFile(partial(inside.fetch_piece, number), size)
            files.append(cast(BinaryIO, file))
            number += 1
        inside.answer(*answer(kind, *files, keys=keys))
