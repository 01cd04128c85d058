"""notebooks/lab.ipynb runs from its first cell to its last, and so does %run of a script.

`make test-notebook` installs the kernel that this needs.
"""

import json
import re
from pathlib import Path

import pytest
from conftest import ROOT, build_lab

NOTEBOOK = ROOT / "notebooks/lab.ipynb"


def cells() -> list[dict]:
    return json.loads(NOTEBOOK.read_text())["cells"]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def execute(notebook: dict, folder: Path) -> list[str]:
    """What each code cell of a notebook says or shows, run by a kernel of this Python."""
    nbclient = pytest.importorskip("nbclient", reason="see make test-notebook")
    pytest.importorskip("ipykernel", reason="see make test-notebook")
    nbformat = pytest.importorskip("nbformat")
    made = nbformat.from_dict(notebook)
    nbformat.validate(made)
    client = nbclient.NotebookClient(made, timeout=600, resources={"metadata": {"path": folder}})
    client.execute()
    return [json.dumps(cell.outputs) for cell in made.cells if cell.cell_type == "code"]


def test_the_notebook_is_kept_without_outputs_and_its_cells_are_python():
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert len(code) > 5
    for cell in code:
        assert cell["outputs"] == [] and cell["execution_count"] is None
        # What begins with ! or % is IPython's.
        compile(re.sub(r"^( *)[!%].*$", r"\1pass", source(cell), flags=re.MULTILINE), "it", "exec")
    scripts = re.findall(r"(\w+\.py) \{lab\}", "".join(map(source, code)))
    assert scripts == ["repair.py", "Geval.py", "plot.py"]


@pytest.mark.slow
def test_the_notebook_runs_through_on_a_lab_of_its_own(tmp_path):
    lab = build_lab(tmp_path / "lab")
    notebook = json.loads(NOTEBOOK.read_text())
    for cell in notebook["cells"]:
        cell["source"] = source(cell).replace('LAB = ""', f"LAB = {str(lab)!r}")
    said = execute(notebook, NOTEBOOK.parent)  # where Jupyter starts it
    assert "B' and G after pruning, in percent" in said[2] and "B_pi_net_0.3.h5" in said[2]
    assert "Attack Success Rate" in said[3] and "tradeoff.png" in said[4]
    assert said[5].count('"image/png": "') == 4
    clean_hits = int(re.search(r"clean_hits=(\d+)", said[6])[1])
    assert 0 < clean_hits <= 50 and "Judgement(clean_images=50" in said[6]


@pytest.mark.slow
def test_a_script_that_a_notebook_runs_says_what_it_says_in_a_shell(tmp_path):
    lab = build_lab(tmp_path)
    files = [lab / "data/cl/test.h5", lab / "data/bd/bd_test.h5", lab / "models/bd_net.h5"]
    lines = [f"%run eval.py {' '.join(map(str, files))}", "%run eval.py nothing.h5 a.h5 b.h5"]
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
    for number, line in enumerate(lines):
        cell = {"cell_type": "code", "id": str(number), "metadata": {}, "source": line}
        notebook["cells"].append(cell | {"outputs": [], "execution_count": None})
    notebook["cells"][1]["metadata"] = {"tags": ["raises-exception"]}
    told, wrong = execute(notebook, ROOT)
    assert "Clean Classification accuracy: 100.0\\nAttack Success Rate: 0.0\\n" in told
    assert "Traceback" not in told
    assert "nothing.h5: there is no such file" in wrong
