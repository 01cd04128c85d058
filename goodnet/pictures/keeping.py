"""What Geval.py keeps for plot.py and the report: judged.json and samples.png."""

from collections.abc import Mapping
from pathlib import Path

from goodnet.judging.judged_json import judged_files, write_judged
from goodnet.judging.judging import Judged
from goodnet.lab import KeptFiles
from goodnet.pictures import canvas
from goodnet.pictures.samples import samples_figure


def keep(judged: Judged, kept: KeptFiles, digests: Mapping[Path, str]) -> None:
    """Write both files. `digests`: the SHA-256 of each file that was judged or judged on.

    Raises Unusable where one cannot be written.
    """
    write_judged(kept.judged, judged_files(judged, digests))
    canvas.save(samples_figure(judged), kept.samples)
