"""Work on a stranger's file that must not take for ever: a script that waits for it too long ends.

Keras and what lies below it cannot be told to stop. So a thread watches the clock, and ends the
process; where it is not the script's own, as in a notebook, its user can stop it.
"""

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from goodnet import process
from goodnet.errors import Unusable
from goodnet.printable import printable


@contextmanager
def deadline(seconds: float, late: Unusable, folder: Path | None = None) -> Iterator[None]:
    """A context that ends the script with `late`, line and status, where it takes too long.

    folder: a temporary one, which is removed before. Nothing else that is to go may be there: no
    output may be in the making.
    """

    def leave() -> None:
        try:
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
            sys.stdout.flush()
            os.write(2, f"{Path(sys.argv[0]).name}: {printable(str(late))}\n".encode())
        finally:
            os._exit(late.exit_status)

    watch = threading.Timer(seconds, leave)
    watch.daemon = True
    if process.OURS:
        watch.start()
    try:
        yield
    finally:
        watch.cancel()
