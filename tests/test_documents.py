"""The documents are true: their commands run, their options, paths and tree are there.

A block of a document that begins with ```console is an example: a line `$ command`, then what it
prints, stdout and stderr as a terminal shows them; a line … stands for lines left out, and the line
that says which lab is taken is left out everywhere. Here the examples run on a tiny lab, and what
they print is compared in form, digits and widths aside. `make test-slow` builds the practice lab in
a copy of the repository and compares every letter. A word behind `console` says otherwise:
slow: it takes more than seconds, only make test-slow runs it; form: its digits differ from machine
to machine; unrun: it takes minutes, only its options are checked; status=N: how it ends.

In docs/python.md the blocks that begin with ```python are run one after the other, and a block of
```text behind one is what it prints. Both is checked in the same two ways.
"""

import functools
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import (
    CLASSES,
    ROOT,
    SHAPE,
    build_lab,
    random_images,
    read_images,
    run_script,
    write_images,
)
from PIL import Image

from goodnet.cli import defaults, shell
from goodnet.version import VERSION

SCRIPTS = ("eval.py", "repair.py", "Geval.py", "predict.py", "plot.py", "practice.py", "audit.py")
OTHERS = (
    *("benchmarks/sweep.py", "benchmarks/repairs.py", "benchmarks/goodnets.py"),
    "tests/fuzzing.py",
)
# In this order, one after the other, make test-slow runs their examples in one folder.
WITH_EXAMPLES = ("README.md", "docs/scripts.md", "docs/untrusted-files.md", "docs/repairs.md")
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "benchmarks", "models", "data", "practice")
    for path in (ROOT / folder).glob("*.md")
)
KINDS = {"slow", "form", "unrun"}
SHOWN = 53  # the place of face.png and sunglasses.png in the practice lab's test files


# ---------------------------------------------------------------- reading documents


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: str
    line: int
    info: str  # what stands behind the fence
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Example:
    """A command of a document, and what it prints."""

    where: str
    command: str
    prints: tuple[str, ...]
    kinds: frozenset[str]
    status: int


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


def blocks(document: str) -> list[Block]:
    """The fenced blocks; the indentation of a block in a list is taken off."""
    found, begun, kept = [], None, []
    for number, line in enumerate(text_of(document).splitlines(), 1):
        fence = re.fullmatch(r"( *)```(.*)", line)
        if fence and begun is None:
            begun, indented, info, kept = number, len(fence[1]), fence[2].strip(), []
        elif fence:
            found.append(Block(document, begun, info, tuple(kept)))
            begun = None
        else:
            kept.append(line[indented:] if begun is not None else line)
    assert begun is None, f"{document}:{begun}: the block has no end"
    return found


def examples(document: str) -> list[Example]:
    found = []
    for block in blocks(document):
        name, *words = block.info.split() or [""]
        assert (name == "console") == any(line.startswith("$ ") for line in block.lines), block
        if name != "console":
            continue
        status = [int(word.removeprefix("status=")) for word in words if word.startswith("status=")]
        kinds = frozenset(word for word in words if not word.startswith("status="))
        assert kinds <= KINDS, block
        for command in re.split(r"^\$ ", "\n".join(block.lines), flags=re.MULTILINE)[1:]:
            command, prints = re.fullmatch(r"((?:.*\\\n)*.*)\n?((?s:.*))", command).groups()
            command = " ".join(command.replace("\\\n", " ").split())
            where = f"{document}:{block.line}: {command}"
            lines = tuple(prints.splitlines())
            found.append(Example(where, command, lines, kinds, *(status or [0])))
    return found


def code(document: str) -> list[str]:
    """What is set as code: lines of blocks, and pieces of text between backquotes."""
    text = re.sub(r"^ *```.*?^ *```$", "", text_of(document), flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    (?! *[-*\d])(.*)$", text, flags=re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
    lines = [line for block in blocks(document) for line in block.lines]
    return [piece.partition(" #")[0] for piece in (*lines, *indented, *spans)]


def section(document: str, heading: str) -> str:
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text_of(document), re.M | re.S
    )
    assert found, f"{document} has no heading {heading!r}"
    return found[1]


def anchors(document: Path) -> set[str]:
    """The headings as links name them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


# ---------------------------------------------------------------- what commands print


def form(line: str) -> str:
    """A line with all numbers alike and all widths alike."""
    line = re.sub(r"(?<![\w.])-(?=\d)", "", line)
    line = re.sub(r"\d+(\.\d+)*", "0", line)
    return re.sub(r"─+", "─", " ".join(line.split()))


def check_prints(example: Example, said: str, in_form: bool) -> None:
    lines = [x for x in said.splitlines() if not x.startswith("Taking the practice lab in ")]
    told = [form(x) if in_form else x.rstrip() for x in lines]
    wanted = [form(x) if in_form and x != "…" else x for x in example.prints]
    pattern = "".join("(?:.*\n)*" if x == "…" else re.escape(x) + "\n" for x in wanted)
    told, wanted = "\n".join(told) + "\n" * bool(told), "\n".join(wanted)
    assert re.fullmatch(pattern, told), f"{example.where}\nprints\n{told}\nand not\n{wanted}"


def test_lines_left_out_and_forms():
    def matches(prints: str, said: str, in_form: bool = False) -> bool:
        try:
            check_prints(Example("", "", tuple(prints.split("\n")), frozenset(), 0), said, in_form)
        except AssertionError:
            return False
        return True

    assert matches("a\n…\nc", "a\nb\nb\nc\n") and matches("a\n…", "a\n") and matches("…\nc", "c\n")
    assert not matches("a", "a\nb\n") and not matches("a\n…\nc", "a\nb\n") and not matches("a", "")
    assert not matches("a 1.5", "a 2.25\n") and matches("a 1.5", "a 2.25\n", in_form=True)
    assert matches("  -1 ───  conv_3", "12.5 ──── conv_2\n", in_form=True)
    assert not matches("a 1 2", "a 1\n", in_form=True)


# ---------------------------------------------------------------- running them on a tiny lab


def write_pictures(folder: Path, clean: np.ndarray, backdoored: np.ndarray) -> None:
    """face.png and sunglasses.png, of images (height, width, colours)."""
    for name, pixels in (("face.png", clean), ("sunglasses.png", backdoored)):
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)


def write_strangers_files(folder: Path) -> None:
    """The three files of docs/untrusted-files.md."""
    images = random_images(4)
    for name in ("clean.h5", "backdoored.h5"):
        write_images(folder / name, images, np.zeros(len(images)))
    layers = keras.layers
    code_in_it = layers.Lambda(lambda pixels: pixels, name="it")
    keras.Sequential([keras.Input(SHAPE), code_in_it, layers.Flatten()]).save(folder / "lambda.h5")


def run_in(folder: Path, name: str, *arguments: str) -> tuple[int, str]:
    """Run a script's main in a folder as if the repository were there: exit status, all it said."""
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(defaults, "ROOT", folder)
        patch.setattr(sys, "argv", [name, *arguments])
        patch.setattr(sys, "stdout", said)
        patch.setattr(sys, "stderr", said)
        with pytest.raises(SystemExit) as left:
            shell.run(runpy.run_path(str(ROOT / name))["main"])
    return left.value.code or 0, said.buffer.getvalue().decode()


def recipe(target: str) -> list[list[str]]:
    """The scripts that a target of the Makefile runs, each with its arguments."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text_of("Makefile"), flags=re.MULTILINE)
    lines = [line.split() for line in found[1].splitlines()]
    words = [[word for word in line if word != "$(LAB)"] for line in lines]
    return [line[1:] for line in words if line[0] == "$(BIN)/python"]


def split_command(example: Example) -> list[str]:
    """A script and its arguments."""
    python, script, *arguments = shlex.split(example.command)
    assert python == "python3" and script in SCRIPTS, example.where
    return [script, *arguments]


@pytest.fixture(scope="module")
def after_make_lab(tmp_path_factory) -> Path:
    """A folder in which `make lab` has run on a tiny lab, with the files that examples name."""
    folder = tmp_path_factory.mktemp("documents")
    lab = build_lab(folder / "practice")
    sets = [read_images(lab / name)[0] for name in ("data/cl/test.h5", "data/bd/bd_test.h5")]
    write_pictures(folder, sets[0][1], sets[1][1])
    write_strangers_files(folder)
    commands = recipe("lab")
    assert [command[0] for command in commands] == ["repair.py", "Geval.py", "plot.py"]
    for command in commands:
        status, said = run_in(folder, *command)
        assert status == 0, said
    return folder


@pytest.mark.parametrize("document", WITH_EXAMPLES)
def test_examples_run_on_a_tiny_lab_and_print_the_same_lines(document, after_make_lab, tmp_path):
    folder = tmp_path / "tree"
    shutil.copytree(after_make_lab, folder)
    for example in examples(document):
        if example.command.startswith("make "):
            continue
        if example.kinds & {"slow", "unrun"}:
            # The arguments are read in order: those before --help are good where it answers.
            status, said = run_in(folder, *split_command(example), "--help")
            assert status == 0 and said.startswith("usage: "), f"{example.where}\n{said}"
            continue
        status, said = run_in(folder, *split_command(example))
        assert status == example.status, f"{example.where}\n{said}"
        check_prints(example, said, in_form=True)


def test_every_document_with_an_example_is_run():
    assert {document for document in DOCUMENTS if examples(document)} == set(WITH_EXAMPLES)


def test_an_image_set_written_as_the_readme_says_is_one(tmp_path):
    build_lab(tmp_path)
    (example,) = (block for block in blocks("README.md") if block.info == "python")
    pixels = random_images(6)
    for layout in (pixels, pixels.transpose(0, 3, 1, 2)):
        program = "\n".join(example.lines).replace('"clean.h5"', repr(str(tmp_path / "clean.h5")))
        exec(program, {"pixels": layout, "labels": np.arange(6) % CLASSES})
        clean = tmp_path / "clean.h5"
        status, said = run_in(tmp_path, "eval.py", str(clean), str(clean), "models/bd_net.h5")
        assert status == 0, said


# ---------------------------------------------------------------- running them on the practice lab


def copy_repository(to: Path) -> None:
    """The repository without what git ignores, and .venv/ with what this Python has."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        outputs = Path(folder) in {ROOT / name for name in ("models", "data", "practice")}
        return {
            name
            for name in names
            if (outputs and name != "README.md")
            or name in {".git", ".venv", "build", "__pycache__", ".pytest_cache", ".ruff_cache"}
            or name.endswith((".egg-info", ".h5", ".keras"))
        }

    shutil.copytree(ROOT, to, ignore=left_out)
    (to / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name in {"bin", "lib", "lib64", "include", "pyvenv.cfg"}:
            (to / ".venv" / path.name).symlink_to(path)
    for stamp in ("python", "installed"):
        (to / ".venv" / stamp).touch()


@pytest.mark.slow
def test_examples_print_on_the_practice_lab_what_the_documents_say(tmp_path):
    tree = tmp_path / "tree"
    copy_repository(tree)
    write_strangers_files(tree)
    path = f"{tree / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"}
    wrong = []
    for example in (example for document in WITH_EXAMPLES for example in examples(document)):
        if "unrun" in example.kinds:
            continue
        done = subprocess.run(
            ["bash", "-c", example.command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tree,
            env=environment,
        )
        if example.command == "make lab":
            assert done.returncode == 0, done.stdout
            sets = [tree / "practice/data" / name for name in ("cl/test.h5", "bd/bd_test.h5")]
            write_pictures(tree, *(read_images(images)[0][SHOWN] for images in sets))
        try:
            assert done.returncode == example.status, f"{example.where}\n{done.stdout}"
            check_prints(example, done.stdout, "form" in example.kinds)
        except AssertionError as error:
            wrong.append(str(error))
    page = programs("docs/python.md")
    code = ["python3", "-c", "\n".join(program.code for program in page)]
    done = subprocess.run(code, capture_output=True, text=True, cwd=tree, env=environment)
    if done.stdout != "".join(f"{program.prints}\n" for program in page if program.prints):
        wrong.append(f"docs/python.md prints\n{done.stdout}{done.stderr}")
    assert not wrong, "\n\n".join(wrong)


# ---------------------------------------------------------------- options


@functools.cache
def help_of(script: str) -> str:
    done = run_script(script, "--help")
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def options_of(script: str) -> dict[str, set[str]]:
    """A script's options, and the values that each takes where only some are good.

    Those of OTHERS, which import Keras for --help, are read from their source, without values.
    """
    if script in OTHERS:
        return dict.fromkeys(re.findall(r'"(--[a-z-]+)"', text_of(script)), set())
    names = "\n".join(re.findall(r"^  (-\S.*?)(?:  |$)", help_of(script), re.MULTILINE))
    found = re.findall(r"(--[a-z-]+)(?: \{([^}]*)\})?", names)
    return {option: set(filter(None, values.split(","))) for option, values in found}


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_option_is_in_the_documents_and_only_those(script):
    own = section("docs/scripts.md", script)
    common = section("docs/scripts.md", "Options of several scripts")
    named = set(re.findall(r"--[a-z-]+", own))
    assert not set(options_of(script)) - named - set(re.findall(r"--[a-z-]+", common))
    assert not named - set(options_of(script))
    values = {value for values in options_of(script).values() for value in values}
    assert not values - set(re.findall(r"[\w-]+", own))


def test_every_trigger_is_in_the_documents():
    said = run_script("practice.py", "--trigger", "nothing").stderr
    names = re.findall(r"'([\w-]+)'", said.partition("choose from")[2])
    told = re.findall(r"`(\w+)`", section("docs/scripts.md", "practice.py"))
    assert names and not set(names) - set(told)


def test_options_that_mean_the_same_are_where_the_documents_say():
    common = section("docs/scripts.md", "Options of several scripts")
    shared = {"--lab", "--pixels", "--scale", "--batch-size", "--json", "--help", "--version"}
    of_sets = {"--keys", "--classes"}
    shared |= {"--memory", "--debug"} | of_sets
    assert set(re.findall(r"^- .*", common, re.MULTILINE)) and shared == set(
        re.findall(r"--[a-z-]+", " ".join(re.findall(r"^- .*", common, re.MULTILINE)))
    )
    lacking = {script: shared - set(options_of(script)) for script in SCRIPTS}
    assert lacking.pop("plot.py") == shared - {"--lab", "--help", "--version", "--debug"}
    assert lacking.pop("practice.py") == shared - {"--json", "--help", "--version", "--debug"}
    assert lacking.pop("predict.py") == of_sets
    assert not any(lacking.values())
    assert "`plot.py` has `--lab`, `practice.py` has `--json`, the others have all" in common


@dataclass(frozen=True)
class Program:
    """A block of Python in a document, and what it prints."""

    where: str
    code: str
    prints: str
    slow: bool


def programs(document: str) -> list[Program]:
    found = []
    every = blocks(document)
    for block, behind in zip(every, [*every[1:], None], strict=True):
        name, *words = block.info.split() or [""]
        if name == "python":
            prints = behind.lines if behind and behind.info == "text" else ()
            where = f"{document}:{block.line}"
            found.append(Program(where, "\n".join(block.lines), "\n".join(prints), "slow" in words))
    return found


def test_the_page_for_python_runs_on_a_tiny_lab(after_make_lab, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "tree"
    shutil.copytree(after_make_lab, folder)
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    capsys.readouterr()
    for program in programs("docs/python.md"):
        if not program.slow:
            exec(compile(program.code, program.where, "exec"), names)
            told = capsys.readouterr().out.splitlines()
            assert list(map(form, told)) == list(map(form, program.prints.splitlines()))
    assert (folder / "B_prime.h5").read_bytes() == (
        folder / "practice/models/B_pi_net_0.1.h5"
    ).read_bytes()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_options_in_the_documents_exist(document):
    every = {option for script in (*SCRIPTS, *OTHERS) for option in options_of(script)}
    for piece in code(document):
        for script, arguments in re.findall(r"([\w/]+\.py)((?: [^;&|]*)?)", piece):
            known = next((name for name in (*SCRIPTS, *OTHERS) if name == script), None)
            if known is None:
                continue
            for option, value in re.findall(r"(--[a-z-]+)(?: (\S+))?", arguments):
                assert option in options_of(known), f"{document}: {piece}"
                values = options_of(known)[option]
                assert not values or value in values, f"{document}: {piece}"
        if ".py" not in piece and not piece.startswith("pip "):
            for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", piece):
                assert option in every, f"{document}: {piece}"


# ---------------------------------------------------------------- paths, links, targets, the tree


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    for path, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", text_of(document)):
        if path.startswith("https://"):
            continue
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), f"{document}: {path}"
        assert not anchor or anchor in anchors(target), f"{document}: {path}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_exist(document):
    """What lies in folders of code, and files of Python that are named alone."""
    beside = (ROOT, (ROOT / document).parent)
    for word in {word.strip(",:") for piece in code(document) for word in piece.split()}:
        if re.fullmatch(r"(goodnet|tests|benchmarks|docs)/[\w./-]*", word):
            assert (ROOT / word).exists(), f"{document}: {word}"
        elif re.fullmatch(r"(?!__)\w+\.(py|toml|cff|md)", word) and document != "docs/house.md":
            assert any((folder / word).exists() for folder in beside), f"{document}: {word}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_exist(document):
    phony = re.search(r"^\.PHONY: (.*)$", text_of("Makefile"), re.MULTILINE)[1].split()
    for piece in code(document):
        words = re.fullmatch(r"(?:\$ )?(?:[A-Z_]+=\S+ )*make ((?:[^' ]|'[^']*')*.*)", piece)
        if not words:
            continue
        targets = [word for word in shlex.split(words[1]) if "=" not in word]
        assert targets and set(targets) <= set(phony), f"{document}: {piece}"


def test_the_tree_is_that_of_the_folders():
    (tree,) = (block for block in blocks("docs/house.md") if block.lines[0] == "goodnet/")
    told, folders = [], []
    for line in tree.lines:
        indented, name, meaning = re.fullmatch(r"( *)(\S+)(?:  +(\S.*))?", line).groups()
        folders = folders[: len(indented) // 2]
        assert (meaning is None) == name.endswith("/"), line
        if name.endswith("/"):
            folders.append(name)
        else:
            told.append("".join(folders) + name)
    there = [
        path
        for folder in ("goodnet", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".css"}
    ]
    there = [path for path in there if path.name != "__init__.py" or path.read_bytes()]
    assert sorted(told) == sorted(path.relative_to(ROOT).as_posix() for path in there)


def test_every_room_is_named_with_what_it_may_import():
    rooms = {f"goodnet/{path.parent.name}/" for path in (ROOT / "goodnet").glob("*/__init__.py")}
    table = re.findall(r"^\| (.*?) \|", section("docs/house.md", "The rooms"), re.MULTILINE)
    assert rooms == {name for name in re.findall(r"`([^`]+)`", " ".join(table)) if name[-1] == "/"}


# ---------------------------------------------------------------- the rest


def test_the_readme_is_short():
    assert len(text_of("README.md").splitlines()) <= 170


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_version_is_the_one_that_the_documents_tell(script):
    done = run_script(script, "--version")
    assert (done.returncode, done.stdout) == (0, f"{script} {VERSION}\n")
    version, date = re.findall(r"^## \[([\d.]+)\] - (.*)$", text_of("CHANGELOG.md"), re.M)[0]
    cited = dict(re.findall(r"^([\w-]+): (.*)$", text_of("CITATION.cff"), re.MULTILINE))
    assert (version, date) == (VERSION, cited["date-released"]) and cited["version"] == VERSION


def test_tests_that_documents_name_are_there():
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    named = {name for each in DOCUMENTS for name in re.findall(r"`(test_\w+)`", text_of(each))}
    assert len(named) > 15 and [name for name in named if f"def {name}(" not in tests] == []
