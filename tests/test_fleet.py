"""audit.py with many networks: a row for each, once, whatever happens to one of them.

Most audits here are made up by a script that takes a moment; some are real, if hasty, and those on
Dask are (skipped where `distributed` is not installed; `make test-fleet` installs it).
"""

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import (
    ROOT,
    check_json,
    check_refused,
    posix,
    run_in_process,
    tiny_network,
)
from hasty_audit import CLASSES, audit, build_case, write_hasty_script

from goodnet.fleet import working
from goodnet.fleet.networks import Network, name_folders

MADE_UP = """
import hashlib, json, os, sys, time
from pathlib import Path
clean, model, *options = sys.argv[1:]
given = dict(each[2:].split("=", 1) for each in options if "=" in each)
here = Path(__file__).parent
said = lambda line: print(line, file=sys.stderr, flush=True)
with open(here / "log", "a") as log:
    log.write(f"{os.getpid()} {model}\\n")
said("Step 1 of 5: looking through the files")
what, *classes = Path(model).read_text().split("#")[0].split()
if what == "refuse":
    said(f"audit.py: {model}: is no network")
    sys.exit(3)
if what == "kill":
    os.kill(os.getpid(), 9)
if what == "wait":
    time.sleep(600)
digest = lambda path: hashlib.sha256(Path(path).read_bytes()).hexdigest()
told = json.loads((here / "template.json").read_text())
sets = [given[name] for name in ("clean-test", "backdoored-test") if name in given]
told["inputs"] = [{"file": str(x), "sha256": digest(x)} for x in (clean, model, *sets)]
told["settings"] |= {"seed": int(given.get("seed", 0)), "fail_on": given.get("fail-on", "likely")}
if "classes" in given:
    told["settings"] |= {"classes": given["classes"], "classes_sha256": digest(given["classes"])}
told["verdict"] |= {
    "answer": what.replace("_", " "), "classes": [int(x) for x in classes], "reasons": ["=told"]
}
for name, option in (("clean_test", "clean-test"), ("backdoored", "backdoored-test")):
    if option in given:
        told["measures"][f"{name}_rejected"] = told["measures"]["clean_rejected"]
out = Path(given["out"])
out.mkdir(exist_ok=True, parents=True)
made = [out / f"B_repaired{Path(model).suffix}", out / "G.keras"]
for path in made:
    path.write_text(f"{what} {given.get('seed')}")
(out / "report.html").write_text("report")
(out / "MODEL_CARD.md").write_text("card")
told["made"] = [{"file": str(x), "sha256": digest(x)} for x in made]
(out / "audit.json").write_text("{" if what == "broken" else json.dumps(told))
said("Step 5 of 5: judging")
"""
PARENT = """
import runpy, sys
from pathlib import Path
sys.path[0] = {root!r}
from goodnet.fleet import working
working.SCRIPT = Path({script!r})
sys.argv[0] = {root!r} + "/audit.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """What a real audit, if a hasty one, wrote into audit.json."""
    folder = tmp_path_factory.mktemp("template")
    case = build_case(folder)
    assert audit(case, folder / "out", "--fail-on", "never").returncode == 0
    return folder / "out/audit.json"


@pytest.fixture
def place(tmp_path, template, monkeypatch) -> SimpleNamespace:
    """A folder to work in, with clean images, and audits that are made up."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "audit.py").write_text(MADE_UP)
    shutil.copy(template, tools / "template.json")
    monkeypatch.setattr(working, "SCRIPT", tools / "audit.py")
    here = tmp_path / "here"
    (here / "zoo").mkdir(parents=True)
    (here / "clean.h5").write_text("clean")
    (here / "test.h5").write_text("test")
    monkeypatch.chdir(here)
    return SimpleNamespace(here=here, zoo=here / "zoo", tools=tools, log=tools / "log")


def put(path: Path, text: str) -> Path:
    """A network that the audit that is made up answers so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def begun(place) -> list[str]:
    """The networks whose audits were begun, sorted; then none were."""
    lines = place.log.read_text().splitlines() if place.log.exists() else []
    place.log.unlink(missing_ok=True)
    return sorted(line.partition(" ")[2] for line in lines)


def rows_of(table: Path) -> list[dict[str, str]]:
    with open(table, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def answers(table: Path = Path("audits/audits.csv")) -> dict[str, str]:
    return {row["network"]: row["answer"] for row in rows_of(table)}


def fleet(*arguments: object) -> SimpleNamespace:
    return run_in_process("audit.py", "clean.h5", *arguments, "--out", "audits")


# ---------------------------------------------------------------- the table


def test_each_network_has_a_row_and_its_report_behind_it(place, template):
    put(place.zoo / "a.h5", "likely 3")
    put(place.zoo / "two words.keras", "nothing_found")
    (place.zoo / "README.md").write_text("not a network")
    (place.zoo / "inner").mkdir()
    done = fleet("zoo", "--json", "told.json")
    assert done.returncode == 1, done.stderr  # the finding
    assert "Passed over in zoo: 2 that are no .h5, .hdf5 or .keras files." in done.stderr
    assert answers() == {"zoo/a.h5": "likely", "zoo/two words.keras": "nothing found"}
    told, one = json.loads(Path("told.json").read_text()), json.loads(template.read_text())
    check_json(told, "audits")
    assert told["settings"] == {"seed": 0, "fail_on": "likely", "scale": 1.0, "threads": 2}
    accuracy = one["measures"]["clean_accuracy"]
    for row, shown in zip(told["networks"], rows_of(Path("audits/audits.csv")), strict=True):
        assert row["b_accuracy"] == accuracy["b"]
        assert row["repaired_accuracy"] == accuracy["repaired"]
        assert row["goodnet_rejects"] == one["measures"]["clean_rejected"]["goodnet"]
        assert float(shown["b_accuracy"]) == accuracy["b"]["percent"]
        assert row["sha256"] == hashlib.sha256(Path(row["network"]).read_bytes()).hexdigest()
        assert Path("audits", shown["report"]).read_text() == "report"
        assert Path(row["report"]) == Path("audits", shown["report"])
    patches = {each["class"]: each["trigger"]["b"] for each in one["suspects"]}
    assert told["networks"][0]["trigger_b"] == patches.get(3)
    # Never alone, and the page leads on.
    worth = f"Nothing found does not show that there is none: {one['verdict']['measured']}."
    html = Path("audits/index.html").read_text()
    assert worth in done.stdout.splitlines() and worth in html
    html5lib = pytest.importorskip("html5lib")
    html5lib.HTMLParser(strict=True).parse(html)
    links = re.findall(r'href="([^"]+)"', html)
    assert links == [row["report"] for row in rows_of(Path("audits/audits.csv"))]
    assert done.stdout.endswith("Table: audits/audits.csv\nReports: audits/index.html\n")


def test_json_on_stdout_is_alone(place):
    put(place.zoo / "a.h5", "possible 1")
    done = fleet("zoo", "--json", "-")
    assert done.returncode == 0
    check_json(json.loads(done.stdout), "audits")


def test_names_that_are_alike_or_strange(place):
    put(place.here / "one/b.h5", "likely 1")
    put(place.here / "two/b.h5", "possible 2")
    put(place.here / "=1+1.h5", "likely 4")
    put(place.here / "-x.h5", "likely 5")
    put(place.here / "e\n\x1b[31m<b>.h5", "likely 6")
    names = ["=1+1.h5", "e\n\x1b[31m<b>.h5", "one/b.h5", "two/b.h5", "./one/../one/b.h5"]
    done = run_in_process(
        *("audit.py", "--out", "audits", "--fail-on", "never", "clean.h5", *names, "--"), "-x.h5"
    )
    assert done.returncode == 0, done.stderr
    found = rows_of(Path("audits/audits.csv"))
    shown = ["'=1+1.h5", r"e\n\x1b[31m<b>.h5", "one/b.h5", "two/b.h5", "'-x.h5"]
    assert [row["network"] for row in found] == shown
    assert [row["classes"] for row in found] == ["4", "6", "1", "2", "5"]
    assert all(row["reason"] == "'=told" for row in found)
    folders = [row["report"].partition("/")[0] for row in found]
    assert len(set(folders)) == 5 and all(re.fullmatch(r"\w[\w-]+", name) for name in folders)
    html = Path("audits/index.html").read_text()
    assert "<b>" not in html and "\x1b" not in html + done.stdout + done.stderr


def test_folders_that_would_be_called_the_same_are_not():
    alike = [Network(Path("b.h5"), 12 * "a" + last * 52) for last in "bc"]
    short, other = name_folders([alike[0], Network(Path("b.h5"), 64 * "d")])
    assert short == "b-aaaaaaaaaaaa" and other == "b-dddddddddddd"
    assert len(set(name_folders(alike))) == 2


def test_image_sets_in_the_folder_are_no_networks(place):
    put(place.zoo / "a.h5", "likely 1")
    shutil.copy("clean.h5", "zoo/clean.h5")
    shutil.copy("test.h5", "zoo/test.h5")
    given = ("zoo", "--clean-test", "zoo/test.h5", "--fail-on", "never")
    done = run_in_process("audit.py", "zoo/clean.h5", *given)
    assert done.returncode == 0, done.stderr
    assert answers(Path("zoo/audits/audits.csv")) == {"zoo/a.h5": "likely"}


def test_a_folder_without_networks(place):
    (place.zoo / "x.txt").write_text("no network")
    check_refused(fleet("zoo"), "zoo: holds no networks, .h5, .hdf5 or .keras files")
    assert not Path("audits").exists()


def test_a_missing_image_set_ends_all_at_once(place):
    put(place.zoo / "a.h5", "likely 1")
    check_refused(run_in_process("audit.py", "none.h5", "zoo"), "none.h5: there is no such file")
    assert begun(place) == []


def test_a_link_in_the_place_of_a_folder_is_not_followed(place):
    path = put(place.zoo / "a.h5", "likely 1")
    (place.here / "audits").mkdir()
    (place.here / "elsewhere").mkdir()
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    (place.here / f"audits/a-{digits}").symlink_to("../elsewhere")
    done = fleet("zoo")
    assert done.returncode == 2 and answers() == {"zoo/a.h5": "unusable"}
    assert f"unusable: audits/a-{digits}: is a link, and is not followed" in done.stderr
    assert begun(place) == [] and not list((place.here / "elsewhere").iterdir())


def test_the_same_bytes_are_audited_where_another_name_of_theirs_was_refused(place):
    path = put(place.zoo / "a.h5", "likely 1")
    put(place.zoo / "b.h5", "likely 1")
    (place.here / "audits").mkdir()
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    (place.here / f"audits/a-{digits}").symlink_to("../elsewhere")
    assert fleet("zoo").returncode == 1
    assert answers() == {"zoo/a.h5": "unusable", "zoo/b.h5": "likely"}


# ---------------------------------------------------------------- one that fails stops nothing


def test_a_network_that_is_refused_or_fails_stops_nothing(place):
    for name, text in {
        **{"a.h5": "refuse", "b.h5": "kill", "c.h5": "likely 1", "d.h5": "broken"},
        "e.h5": "",
    }.items():
        put(place.zoo / name, text)
    done = fleet("zoo", "missing.h5", "--fail-on", "never", "--json", "told.json")
    assert done.returncode == 3, done.stderr
    told = {
        Path(x["network"]).name: x for x in json.loads(Path("told.json").read_text())["networks"]
    }
    check_json(json.loads(Path("told.json").read_text()), "audits")
    wanted = ["unsafe", "failed", "likely", "failed", "unusable", "unusable"]
    assert [each["answer"] for each in told.values()] == wanted
    assert told["a.h5"]["reason"] == "is no network"
    assert "signal 9" in told["b.h5"]["reason"] and "Step 1 of 5" in told["b.h5"]["reason"]
    assert told["missing.h5"]["reason"] == "there is no such file"
    lines = done.stderr.splitlines()
    assert lines[-1] == "audit.py: 5 of 6 networks not audited"
    assert "1 of 6, a.h5: unsafe: is no network" in lines
    assert "3 of 6, c.h5: likely, class 1" in lines
    assert sum("is no network" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("networks", "fail_on", "status"),
    [
        (("likely 1", "refuse"), "likely", 1),
        (("likely 1", "refuse"), "never", 3),
        (("possible 1", "kill"), "likely", 2),
        (("possible 1", "kill"), "possible", 1),
        (("inconclusive", "nothing_found"), "possible", 1),
        (("inconclusive", "nothing_found"), "likely", 0),
    ],
)
def test_the_exit_status(place, networks, fail_on, status):
    paths = [put(place.here / f"{n}.h5", text) for n, text in enumerate(networks)]
    assert fleet(*paths, "--fail-on", fail_on).returncode == status


# ---------------------------------------------------------------- what is done is not done again


def test_what_is_done_is_not_done_again(place):
    for name, text in {"a.h5": "likely 1", "b.h5": "possible 2", "c.h5": "refuse"}.items():
        put(place.zoo / name, text)
    first = fleet("zoo")
    assert begun(place) == ["zoo/a.h5", "zoo/b.h5", "zoo/c.h5"]
    table = Path("audits/audits.csv").read_bytes()
    # What ends with status 1 changes no result; other names of the same file neither.
    done = fleet("./zoo", "--fail-on", "possible", "--batch-size", 7)
    assert begun(place) == ["zoo/c.h5"] and done.stdout == first.stdout
    assert "1 of 3, a.h5: audited before: likely, class 1" in done.stderr
    assert Path("audits/audits.csv").read_bytes() == table
    os.rename("zoo/a.h5", "a.h5")
    fleet("a.h5", "zoo/b.h5")
    assert begun(place) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda zoo: put(zoo / "a.h5", "possible 1"),
        lambda zoo: put(zoo.parent / "clean.h5", "other images"),
        lambda zoo: ("--seed", 1),
        lambda zoo: ("--scale", 255),
        lambda zoo: ("--pixels=-1..1",),
        lambda zoo: ("--keys", "x,y"),
        lambda zoo: ("--clean-test", "test.h5"),
        lambda zoo: ("--backdoored", "test.h5"),
        lambda zoo: ("--classes", put(zoo.parent / "classes.txt", "a\nb\n")),
    ],
)
def test_what_is_not_the_same_is_done_again(place, change):
    put(place.zoo / "a.h5", "likely 1")
    fleet("zoo")
    assert begun(place) == ["zoo/a.h5"]
    changed = change(place.zoo)
    fleet("zoo", *(changed if isinstance(changed, tuple) else ()))
    assert begun(place) == ["zoo/a.h5"]


def test_images_that_were_judged_on_otherwise_are_judged_on_again(place):
    put(place.zoo / "a.h5", "likely 1")
    fleet("zoo", "--clean-test", "test.h5")
    begun(place)
    fleet("zoo", "--backdoored-test", "test.h5")
    assert begun(place) == ["zoo/a.h5"]


def test_a_list_of_classes_that_has_changed_makes_another_audit(place):
    put(place.zoo / "a.h5", "likely 1")
    listed = put(place.here / "classes.txt", "a\nb\n")
    fleet("zoo", "--classes", listed, "--json", "told.json")
    told = json.loads(Path("told.json").read_text())
    check_json(told, "audits")
    digest = hashlib.sha256(listed.read_bytes()).hexdigest()
    assert told["settings"]["classes_sha256"] == digest
    assert begun(place) == ["zoo/a.h5"]
    os.rename(listed, "elsewhere.txt")
    fleet("zoo", "--classes", "elsewhere.txt")
    assert begun(place) == []
    put(Path("elsewhere.txt"), "b\na\n")
    fleet("zoo", "--classes", "elsewhere.txt")
    assert begun(place) == ["zoo/a.h5"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "audit.json").unlink(),
        lambda folder: (folder / "audit.json").write_text("[" * 100000),
        lambda folder: (folder / "audit.json").write_text("[1]"),
        lambda folder: (folder / "G.keras").write_text("another"),
        lambda folder: (folder / "report.html").unlink(),
        lambda folder: (folder / "B_repaired.h5").unlink(),
        lambda folder: make_older(folder / "audit.json", "goodnet", "0.0.1"),
        lambda folder: make_older(folder / "audit.json", "keras", "3.0.0"),
        lambda folder: make_older(folder / "audit.json", "tensorflow", "2.0.0"),
    ],
)
def test_what_is_not_whole_or_of_another_version_is_done_again(place, spoil):
    put(place.zoo / "a.h5", "likely 1")
    fleet("zoo")
    begun(place)
    (folder,) = (path for path in Path("audits").iterdir() if path.is_dir())
    spoil(folder)
    assert fleet("zoo").returncode == 1
    assert begun(place) == ["zoo/a.h5"] and answers() == {"zoo/a.h5": "likely"}


def make_older(results: Path, name: str, version: str) -> None:
    told = json.loads(results.read_text())
    assert name in told["versions"]
    told["versions"][name] = version
    results.write_text(json.dumps(told))


def test_the_same_bytes_are_audited_once(place):
    put(place.zoo / "a.h5", "likely 1")
    put(place.zoo / "b.h5", "likely 1")
    done = fleet("zoo", "zoo/a.h5", "--jobs", 2)
    assert begun(place) == ["zoo/a.h5"]
    assert "2 of 2, b.h5: the same bytes as 1: likely, class 1" in done.stderr
    first, second = rows_of(Path("audits/audits.csv"))
    assert first | {"network": second["network"]} == second


# ---------------------------------------------------------------- several at a time, Ctrl-C


def start(place, *arguments: object) -> subprocess.Popen:
    """The same in a process of its own."""
    program = PARENT.format(root=str(ROOT), script=str(working.SCRIPT))
    words = ["clean.h5", *arguments, "--out", "audits"]
    (place.tools / "parent.py").write_text(program)
    return subprocess.Popen(
        [sys.executable, place.tools / "parent.py", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in a shell's background have it ignored, and hand that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def is_gone(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    return False


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@posix
def test_ctrl_c_ends_all_and_the_next_run_goes_on(place):
    put(place.zoo / "a.h5", "likely 1")
    put(place.zoo / "b.h5", "wait")
    put(place.zoo / "c.h5", "wait #")
    put(place.zoo / "d.h5", "likely 4")
    process = start(place, "zoo", "--jobs", 2)
    wait_for(lambda: place.log.exists() and len(place.log.read_text().splitlines()) == 3)
    children = [int(line.split()[0]) for line in place.log.read_text().splitlines()]
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout) == (130, "")
    assert stderr.endswith("audit.py: interrupted\n") and "Traceback" not in stderr
    wait_for(lambda: all(map(is_gone, children)))
    assert not Path("audits/audits.csv").exists() and not Path("audits/index.html").exists()
    assert begun(place) == ["zoo/a.h5", "zoo/b.h5", "zoo/c.h5"]
    for name in ("b.h5", "c.h5"):
        put(place.zoo / name, f"possible 2 # {name}")
    assert fleet("zoo").returncode == 1
    assert begun(place) == ["zoo/b.h5", "zoo/c.h5", "zoo/d.h5"]
    assert list(answers().values()) == ["likely", "possible", "possible", "likely"]


def test_jobs_run_side_by_side_and_give_the_same_table(place):
    for number in range(5):
        put(place.zoo / f"{number}.h5", f"possible {number}")
    fleet("zoo")
    alone = Path("audits/audits.csv").read_bytes(), Path("audits/index.html").read_bytes()
    shutil.rmtree("audits")
    done = fleet("zoo", "--jobs", 3)
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    first = next(index for index, line in enumerate(lines) if line.endswith("possible, class 0"))
    assert [f"{n + 1} of 5, {n}.h5: begun" in lines[:first] for n in range(3)] == [True] * 3
    again = Path("audits/audits.csv").read_bytes(), Path("audits/index.html").read_bytes()
    assert again == alone


# ---------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("zoo", "--jobs", "0"), "--jobs: '0' is not a whole number above 0"),
        (("zoo", "--jobs", "2", "--scheduler", "x"), "not allowed with argument --jobs"),
        (("zoo", "--json", "audits/audits.csv"), "is what this command writes already"),
        (("zoo", "--json", "zoo/a.h5"), "is read and would be written over"),
        (("zoo", "--keys", "x"), "is not two names"),
    ],
)
def test_bad_arguments_get_one_line(place, arguments, says):
    put(place.zoo / "a.h5", "likely 1")
    check_refused(fleet(*arguments), says)
    assert begun(place) == []


def test_without_distributed_one_line_says_what_to_install(place, monkeypatch):
    put(place.zoo / "a.h5", "likely 1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = fleet("zoo", "--scheduler", "tcp://127.0.0.1:1")
    check_refused(done, "argument --scheduler: needs distributed", "requirements-fleet.txt")


def test_a_table_of_one(place):
    """For scripts, which do not know how many there are."""
    (place.here / "a.h5").write_text("likely 1")
    assert fleet("a.h5", "--jobs", 1).returncode == 1
    assert answers() == {"a.h5": "likely"}


# ---------------------------------------------------------------- real audits


@pytest.fixture(scope="module")
def zoo(tmp_path_factory) -> Path:
    """Six networks, clean images, and an audit that takes seconds."""
    folder = tmp_path_factory.mktemp("zoo")
    build_case(folder)
    script = write_hasty_script(folder)
    log = f"open({str(folder / 'log')!r}, 'a').write(__import__('sys').argv[2] + '\\n')\n"
    script.write_text(log + script.read_text())
    (folder / "zoo").mkdir()
    shutil.copy(folder / "b.h5", folder / "zoo/b.h5")
    for seed in range(1, 6):
        tiny_network(seed, CLASSES).save(folder / f"zoo/{seed}.keras")
    return folder


def test_the_files_are_those_of_an_audit_alone(zoo, tmp_path):
    """And the parent opens no file of a stranger: it has neither Keras nor h5py."""
    program = PARENT.format(root=str(ROOT), script=str(zoo / "audit.py"))
    watched = program.replace("runpy.run_path", "try: runpy.run_path") + (
        "finally: assert not {'keras', 'h5py', 'tensorflow'} & set(sys.modules)\n"
    )
    words = [zoo / "clean.h5", zoo / "b.h5", "--jobs", 1, "--fail-on", "never", "--out", tmp_path]
    done = subprocess.run(
        [sys.executable, "-c", watched, *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (row,) = rows_of(tmp_path / "audits.csv")
    folder = (tmp_path / row["report"]).parent
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(found) == 5
    shutil.rmtree(folder)
    alone = [sys.executable, zoo / "audit.py", *words[:2], f"--out={folder}", "--fail-on=never"]
    assert subprocess.run(list(map(str, alone)), capture_output=True).returncode == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == found


def audit_zoo(zoo: Path, out: str, *options: object) -> subprocess.Popen:
    """All six, in a process of its own, from the folder that they are in."""
    program = PARENT.format(root=str(ROOT), script=str(zoo / "audit.py"))
    words = ["clean.h5", "zoo", "--fail-on", "never", "--out", out, *map(str, options)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", program, *words], cwd=zoo, text=True, **pipes)


@contextmanager
def on_dask(
    folder: Path, count: int, *options: str
) -> Iterator[tuple[str, list, subprocess.Popen]]:
    """A scheduler of Dask and workers, each a process, where nobody finds this package."""
    pytest.importorskip("distributed")
    (folder / "dask").mkdir()
    place = ["--scheduler-file", "scheduler.json"]
    started = {"cwd": folder / "dask", "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", *place]
    scheduler += ["--port", "0", "--host", "127.0.0.1"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-dashboard", *place]
    worker += ["--no-nanny", *(options or ("--nthreads", "1"))]
    found = folder / "dask/scheduler.json"
    with ExitStack() as processes:

        def begin(command: list[str]) -> subprocess.Popen:
            process = subprocess.Popen(command, **started)
            processes.callback(process.wait)
            processes.callback(process.kill)
            return process

        head = begin(scheduler)
        wait_for(lambda: found.exists() and found.read_text().endswith("}"))
        workers = [begin(worker) for _ in range(count)]
        yield json.loads(found.read_text())["address"], workers, head


def test_on_dask_with_a_worker_killed_the_table_is_that_of_one_process(zoo, tmp_path):
    import psutil

    alone = audit_zoo(zoo, "alone")
    stdout, stderr = alone.communicate()
    assert alone.returncode == 0, stderr
    (zoo / "log").unlink()
    with on_dask(tmp_path, 2) as (address, workers, _):
        process = audit_zoo(zoo, "spread", "--scheduler", address)
        wait_for(lambda: list(zoo.glob("spread/*/audit.json")), 120)
        wait_for(lambda: all(psutil.Process(worker.pid).children() for worker in workers))
        workers[0].kill()
        assert len(list(zoo.glob("spread/*/audit.json"))) < 5
        told, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    begun = (zoo / "log").read_text().splitlines()
    assert len(begun) == 7 and len(set(begun)) == 6  # that of the dead worker again
    assert told == stdout.replace("alone/", "spread/")
    for name in ("audits.csv", "index.html"):
        assert (zoo / "spread" / name).read_bytes() == (zoo / "alone" / name).read_bytes()
    for path in zoo.glob("alone/*/*"):
        if path.name in ("B_repaired.h5", "B_repaired.keras", "G.keras"):
            again = zoo / "spread" / path.relative_to(zoo / "alone")
            assert again.read_bytes() == path.read_bytes()


def test_ctrl_c_ends_what_runs_on_dask(place):
    put(place.zoo / "a.h5", "wait")
    put(place.zoo / "b.h5", "wait #")
    with on_dask(place.tools, 1, "--nthreads", "2") as (address, *_):
        process = start(place, "zoo", "--scheduler", address)
        wait_for(lambda: place.log.exists() and len(place.log.read_text().splitlines()) == 2)
        children = [int(line.split()[0]) for line in place.log.read_text().splitlines()]
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130 and stderr.endswith("audit.py: interrupted\n"), stderr
        wait_for(lambda: all(map(is_gone, children)))


def test_a_scheduler_that_goes_away(place):
    put(place.zoo / "a.h5", "wait")
    with on_dask(place.tools, 1) as (address, _, scheduler):
        process = start(place, "zoo", "--scheduler", address)
        wait_for(place.log.exists)
        scheduler.kill()
        _, stderr = process.communicate(timeout=120)
        os.kill(int(place.log.read_text().split()[0]), signal.SIGKILL)
    assert process.returncode == 2 and "Traceback" not in stderr
    assert "1 of 1, a.h5: failed: the scheduler of Dask went away\n" in stderr
    assert answers() == {"zoo/a.h5": "failed"}


def test_a_scheduler_that_does_not_answer(place, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("goodnet.fleet.running.PATIENCE", 1)
    put(place.zoo / "a.h5", "likely 1")
    for address in ("tcp://127.0.0.1:9", "nonsense://x", "x"):
        check_refused(
            fleet("zoo", "--scheduler", address), f"--scheduler: {address} does not answer"
        )
