"""How the house is built: small pieces, rooms that import downwards, nothing heavy before its time.

What it is to be stands in docs/house.md and CONTRIBUTING.md.
"""

import ast
import functools
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT, SCRIPTS

LONGEST_MODULE, LONGEST_FUNCTION, LONGEST_SCRIPT = 250, 50, 90  # lines
HEAVY = {"numpy", "h5py", "keras", "tensorflow", "jax", "torch", "matplotlib", "PIL", "rich"}
# What Keras keeps private of a network's graph; it may be called otherwise in its next release.
PRIVATE_TO_KERAS = ("_keras_history", "_inbound_nodes", "_flatten_layers")


def modules(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(found) > 5
    return sorted(found)


def contracts() -> list[dict]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


# ---------------------------------------------------------------- small pieces


def long_functions(source: str) -> dict[str, int]:
    """The functions of more than 50 lines, decorators and functions inside them included."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if (lines := node.end_lineno - first + 1) > LONGEST_FUNCTION:
                found[node.name] = lines
    return found


def test_no_module_is_long():
    lines = {path: len(path.read_text().splitlines()) for path in modules("goodnet", "benchmarks")}
    assert not {path: n for path, n in lines.items() if n > LONGEST_MODULE}


def test_no_script_is_long():
    lines = {name: len((ROOT / name).read_text().splitlines()) for name in SCRIPTS}
    assert not {name: n for name, n in lines.items() if n > LONGEST_SCRIPT}


def test_no_function_is_long():
    body = "        pass\n" * 48
    assert long_functions(f"@a\ndef f():\n    def g():\n{body}") == {"f": 51}
    assert not long_functions(f"def f():\n    def g():\n{body}")
    paths = [*modules("goodnet", "benchmarks"), *(ROOT / name for name in SCRIPTS)]
    found = {path: long_functions(path.read_text()) for path in paths}
    assert not {path: functions for path, functions in found.items() if functions}


# ---------------------------------------------------------------- rooms


def test_every_room_is_a_package_and_its_init_is_empty():
    """That of the root imports nothing: tests/test_front.py looks."""
    inits = {path.parent / "__init__.py" for path in modules("goodnet")}
    filled = [init for init in inits if init.read_bytes()]
    assert len(inits) > 5 and filled == [ROOT / "goodnet/__init__.py"]


def lint_imports(folder: Path) -> subprocess.CompletedProcess:
    tool = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if not tool:
        pytest.skip("lint-imports of import-linter is not installed beside this Python")
    return subprocess.run(
        [tool, "--no-cache", "--no-logo"], cwd=folder, capture_output=True, text=True
    )


def test_imports_run_downwards_and_in_no_circle(tmp_path):
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout
    assert f"Contracts: {len(contracts())} kept, 0 broken." in done.stdout
    # And the contracts notice what breaks them.
    shutil.copytree(ROOT / "goodnet", tmp_path / "goodnet")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    upwards = tmp_path / "goodnet/vetting/hdf5.py"
    upwards.write_text(f"{upwards.read_text()}\nfrom goodnet.networks import graph\n")
    assert "from goodnet.networks.deepid" in (tmp_path / "goodnet/networks/loading.py").read_text()
    circle = tmp_path / "goodnet/networks/deepid.py"
    circle.write_text(f"{circle.read_text()}\nfrom goodnet.networks import loading\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1 and "Contracts: 0 kept, 2 broken." in done.stdout
    assert "goodnet.vetting.hdf5 -> goodnet.networks.graph" in done.stdout


def may_import_by_the_contract() -> dict[str, set[str]]:
    """What each room and module of goodnet may import: what stands in lower layers."""
    (layers,) = (contract["layers"] for contract in contracts() if contract["type"] == "layers")
    layers = [set(layer.split(" | ")) for layer in layers]
    return {
        name: set().union(*layers[place + 1 :])
        for place, layer in enumerate(layers)
        for name in layer
    }


def may_import_by_the_document() -> dict[str, set[str]]:
    """The same, as the table of docs/house.md tells it."""
    text = (ROOT / "docs/house.md").read_text()
    rows = re.findall(r"^\| (`.*?) \| .* \| (.*?) \|$", text, re.MULTILINE)
    rows = [(re.findall(r"`goodnet/(\w+)(?:/|\.py)`", who), what) for who, what in rows]
    found = {}
    for place, (who, what) in enumerate(rows):
        named = set(re.findall(r"`(\w+)`", what))
        lowest = max([place, *(i for i, (names, _) in enumerate(rows) if named & set(names))])
        below = {name for names, _ in rows[lowest + 1 :] for name in names}
        assert re.fullmatch(r"nothing|(`\w+`(, `\w+`)* and )?all below", what), what
        found |= {name: set() if what == "nothing" else named | below for name in who}
    return found


def test_the_document_says_of_imports_what_the_contract_says():
    names = {path.stem for path in (ROOT / "goodnet").iterdir() if path.name != "__init__.py"}
    by_the_contract = may_import_by_the_contract()
    assert set(by_the_contract) == names - {"__pycache__"}
    assert may_import_by_the_document() == by_the_contract


@functools.cache
def in_goodnet(text: str) -> list[str]:
    """The modules of goodnet that hold a text."""
    return [
        path.relative_to(ROOT / "goodnet").as_posix()
        for path in modules("goodnet")
        if text in path.read_text()
    ]


@pytest.mark.parametrize("name", PRIVATE_TO_KERAS)
def test_one_module_touches_what_keras_keeps_private(name):
    assert in_goodnet(name) == ["networks/graph.py"]


def test_what_is_called_the_only_place_is_tested_to_be_it():
    # graph.py by the test before this one. Who writes it of another place, tests that as well.
    claims = ("only place", "only module", "only here", "nowhere else")
    assert {module for claim in claims for module in in_goodnet(claim)} <= {"networks/graph.py"}


# ---------------------------------------------------------------- nothing heavy before its time

IMPORTED = """
import runpy, sys
sys.path[0] = {root!r}
sys.argv = [{script!r}, "--help"]
try:
    runpy.run_path({root!r} + "/" + {script!r}, run_name="__main__")
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_told_without_anything_heavy(script):
    program = IMPORTED.format(root=str(ROOT), script=script)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: {script}"), done.stderr
    imported = {name.partition(".")[0] for name in done.stderr.split()}
    assert "goodnet" in imported and not imported & HEAVY
