"""From what the contenders took to the table of medians, ratios and targets."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

HEADER = ("point", "what", "median", "against", "median", "ratio", "each round's", "target", "")


@dataclass(frozen=True)
class Run:
    """What one process took: its peak memory in bytes, seconds, and what it reported."""

    wall: float
    peak: int
    report: dict
    cpu: float = 0  # seconds of all cores together

    @property
    def seconds(self) -> float:
        """From after importing and loading to the end, by the contender's own clock."""
        return self.report["seconds"]


@dataclass(frozen=True)
class Target:
    """The most that a ratio may be, or the least; `aim` is what it would rather be."""

    limit: float
    aim: float | None = None
    least: bool = False

    def __str__(self) -> str:
        sign = ">=" if self.least else "<="
        return f"{sign} {self.limit:g}" + (f", aim {self.aim:g}" if self.aim else "")

    def verdict(self, ratio: float) -> str:
        """Whether the ratio reaches the target, and its aim where it has one."""
        sign = -1 if self.least else 1
        if sign * ratio > sign * self.limit:
            return "MISSED"
        return "aim reached" if self.aim and sign * ratio <= sign * self.aim else "reached"


Runs = dict[str, list[Run]]  # contender -> its runs, one a round


def table(runs: Runs) -> list[list[str]]:
    """The lines of the table, one for each target, each as long as HEADER."""
    tests = "plain pass, test files"
    rows = [
        _ratio("1", runs, "sweep", "plain pass", "seconds", Target(2, 1.4)),
        _ratio("2", runs, "plain loop", "sweep", "seconds", Target(30, 45, least=True)),
        _ratio("3", runs, "repair.py", "plain pass", "peak", Target(1.2)),
        _ratio("3", runs, "repair.py", "repair.py, lab scale", "peak", Target(1.1)),
        _ratio("4", runs, "repair.py", "plain pass", "wall", Target(1.8, 1.4)),
        _ratio("4", runs, "eval.py", tests, "wall", Target(1.2)),
        _ratio("4", runs, "Geval.py", tests, "wall", Target(1.6)),
        _ratio("4", runs, "Geval.py, four B'", tests, "wall", Target(1.5)),
    ]
    for what in ("--help", "bad argument", "missing file"):
        rows.append(_slowest("5", what, runs, [name for name in runs if name.endswith(what)], 0.3))
    return [*rows, _slowest("5", "plot.py", runs, ["plot.py"], 2)]


def differing_rows(runs: Runs) -> list[int]:
    """The numbers of pruned channels at which the sweep's counts are not the plain loop's."""
    loop, sweep = runs["plain loop"][0].report["rows"], runs["sweep"][0].report["rows"]
    return [row for row, (one, other) in enumerate(zip(loop, sweep, strict=True)) if one != other]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that is aligned to the eye as well; the first row is its header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [rows[0], ["-" * width for width in widths], *rows[1:]]
    padded = [
        [text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)


def _ratio(point: str, runs: Runs, over: str, under: str, figure: str, target: Target) -> list[str]:
    """The median of `figure` in the runs `over`, against that in the runs `under`.

    `figure`: "wall", "peak" or "seconds" of a run. Rounds are compared one by one as well, to
    show the noise.
    """
    unit = {"wall": "from the shell", "peak": "peak memory", "seconds": "import and load aside"}
    what = f"{over}, {unit[figure]}"
    if over not in runs or under not in runs:
        return [point, what, "", under, "", "", "", str(target), "not measured"]
    values = [[getattr(run, figure) for run in runs[name]] for name in (over, under)]
    medians = [statistics.median(column) for column in values]
    shown = [f"{x / 2**20:.0f} MiB" if figure == "peak" else f"{x:.2f} s" for x in medians]
    ratio = medians[0] / medians[1]
    rounds = sorted(one / other for one, other in zip(*values, strict=False))
    spread = f"{rounds[0]:.3g} to {rounds[-1]:.3g}" if len(rounds) > 1 else ""
    verdict = target.verdict(ratio)
    return [point, what, shown[0], under, shown[1], f"{ratio:.3g}", spread, str(target), verdict]


def _slowest(point: str, what: str, runs: Runs, names: Sequence[str], most: float) -> list[str]:
    """The slowest median wall time among the runs `names`."""
    seconds, name = max((statistics.median(run.wall for run in runs[name]), name) for name in names)
    what += f", slowest of {len(names)} scripts" if len(names) > 1 else ", from the shell"
    verdict = "reached" if seconds < most else "MISSED"
    return [point, what, f"{seconds:.2f} s", "", "", "", "", f"< {most:g} s", verdict]
