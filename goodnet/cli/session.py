"""The frame of every script that reads networks: files in quarantine, Keras, times, JSON."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from goodnet.cli import libraries, shell
from goodnet.cli.settings import NOTHING_ASKED, Asked
from goodnet.progress import Progress
from goodnet.vetting import quarantine


@dataclass(frozen=True)
class Session:
    """What a script has while it works."""

    held: quarantine.Held  # its networks and image sets
    where_json: str | None  # a file, or "-" for stdout
    watch: "Stopwatch"
    hashing: Future[dict[Path, str]] | None  # None where nothing asks for it
    settings: Mapping[str, object]  # the options that change a result

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
            seconds = {"seconds": dict(self.watch.seconds)}
            shell.write_json(self.document(results) | seconds, self.where_json)

    def document(self, results: dict) -> dict:
        """The results with what they were made from and with; the same in every run."""
        from goodnet.cli.provenance import provenance

        return provenance(self.digests, self.settings, results)


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
    asked: Asked = NOTHING_ASKED,
) -> Iterator[Session]:
    """Hold the files, have them looked through, import Keras meanwhile.

    inputs: all of them, in the order in which they are listed; digests: whether their SHA-256 are
    wanted without JSON, too; trains: whether a network is trained; asked: how to read image sets,
    and the settings for the JSON. Raises Unusable or Unsafe where a file cannot be read, or Keras
    cannot be used.
    """
    told = dict(asked.settings)
    if trains:
        libraries.pin_threads()
        told["threads"] = libraries.THREADS
    watch = Stopwatch()
    with quarantine.opened(networks, image_sets, asked.reading) as held:
        hashing = held.digests(inputs) if digests or where_json else None
        shell.import_keras()
        watch.lap("import")
        yield Session(held, where_json, watch, hashing, told)
        for line in held.remarks():
            shell.notice(line)
