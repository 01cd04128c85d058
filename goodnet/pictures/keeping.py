"""What Geval.py keeps for plot.py and the report: judged.json and samples.png."""

from collections.abc import Mapping
from pathlib import Path

from goodnet.files import alone_in
from goodnet.judging.judged_json import write_record
from goodnet.judging.judging import Judged
from goodnet.judging.record import record_of
from goodnet.lab import KeptFiles
from goodnet.pictures import canvas
from goodnet.pictures.samples import draw_samples


def keep(judged: Judged, kept: KeptFiles, digests: Mapping[Path, str]) -> None:
    """Write both files. `digests`: the SHA-256 of each file that was judged or judged on.

    Raises Unusable where one cannot be written.
    """
    with alone_in(kept.judged.parent):  # so that both are of one run
        write_record(kept.judged, record_of(judged, digests))
        canvas.save(draw_samples(judged), kept.samples)
