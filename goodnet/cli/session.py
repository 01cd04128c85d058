"""The frame of every script that reads networks: files in quarantine, Keras, times, JSON."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from goodnet.cli import shell
from goodnet.progress import Progress
from goodnet.vetting import quarantine
from goodnet.vetting.reading import AS_IT_SHOWS, Reading


@dataclass(frozen=True)
class Session:
    """What a script has while it works."""

    held: quarantine.Held  # its networks and image sets
    where_json: str | None  # a file, or "-" for stdout
    watch: "Stopwatch"
    hashing: Future[dict[Path, str]] | None  # None where nothing asks for it

    @property
    def progress(self) -> Progress:
        """Shows how far long work has come."""
        return shell.progress

    @property
    def prints(self) -> bool:
        """Whether results go to stdout as lines: not where JSON goes there."""
        return self.where_json != "-"

    def lap(self, stage: str) -> None:
        """Tell that a stage ends, for the seconds in the JSON."""
        self.watch.lap(stage)

    @property
    def digests(self) -> dict[Path, str]:
        """The SHA-256 of each input, in the order of the inputs, if they were asked for."""
        return self.hashing.result() if self.hashing else {}

    def write_json(self, results: dict) -> None:
        """Write the results, if asked for, with what they were made from and with."""
        if self.where_json:
            from goodnet.cli.provenance import provenance

            made = provenance(self.digests, self.watch.seconds)
            shell.write_json(results | made, self.where_json)


@dataclass
class Stopwatch:
    """The seconds that each stage took."""

    seconds: dict[str, float] = field(default_factory=dict)
    last: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self.last
        self.last = now


@contextmanager
def session(
    inputs: Sequence[Path],
    networks: Sequence[Path],
    image_sets: Sequence[Path],
    where_json: str | None,
    digests: bool = False,
    trains: bool = False,
    reading: Reading = AS_IT_SHOWS,
) -> Iterator[Session]:
    """Hold the files, have them looked through, import Keras meanwhile.

    inputs: all of them, in the order in which they are listed; digests: whether their SHA-256 are
    wanted without JSON, too; trains: whether a network is trained; reading: how to read image sets.
    Raises Unusable or Unsafe where a file cannot be read, or Keras cannot be used.
    """
    if trains:  # how the work is shared out decides the last digits
        os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    watch = Stopwatch()
    with quarantine.opened(networks, image_sets, reading) as held:
        hashing = held.digests(inputs) if digests or where_json else None
        shell.import_keras()
        watch.lap("import")
        yield Session(held, where_json, watch, hashing)
        for line in held.remarks():
            shell.notice(line)
