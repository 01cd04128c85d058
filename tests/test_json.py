"""Every script's --json is as docs/json-schema.json says; a wrong one is not."""

import json
from functools import partial
from pathlib import Path

import pytest
from conftest import build_lab, check_json, run_in_process
from hasty import HASTY, hurry_relearning
from PIL import Image

from goodnet.metrics import Judgement
from goodnet.practice import lab as practice_lab
from goodnet.practice.lab import Built
from goodnet.tuning import fine_pruning, unlearning

jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    return build_lab(tmp_path_factory.mktemp("json") / "lab")


def told(script: str, *arguments: object) -> dict:
    """What a script writes to stdout with --json -, and that it names what it was made from."""
    done = run_in_process(script, *arguments, "--json", "-")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_that_of_eval_and_geval(lab):
    clean, backdoored = lab / "data/cl/test.h5", lab / "data/bd/bd_test.h5"
    b = lab / "models/bd_net.h5"
    document = told("eval.py", clean, backdoored, b)
    check_json(document, "judged")
    assert document["settings"] == {"scale": 1.0}
    assert document["networks"][0]["itself"]["attack_success_rate"] is not None
    document = told("eval.py", clean, b, "--scale", 255)
    check_json(document, "judged")
    assert document["settings"] == {"scale": 255.0}
    assert document["networks"][0]["itself"]["attack_success_rate"] is None
    document = told("Geval.py", "--pixels", "0..255", "--clean-only", clean, b, b)
    check_json(document, "judged")
    assert document["settings"] == {"pixels": "0..255"}
    assert document["networks"][1]["goodnet"]["clean_rejected_rate"] == 0


def test_that_of_the_repairs(lab, tmp_path, monkeypatch):
    monkeypatch.setattr(unlearning, "unlearn", partial(unlearning.unlearn, schedule=HASTY))
    monkeypatch.setattr(fine_pruning, "EPOCHS", 1)
    hurry_relearning(monkeypatch, 2)
    files = lab / "data/cl/valid.h5", lab / "models/bd_net.h5", "--out", tmp_path
    document = told("repair.py", *files, "--drop", 2.5, 90)
    check_json(document, "pruned")
    wanted = {"method": "prune", "drop": [2.5, 90.0], "layer": None, "scale": 1.0}
    assert document["settings"] == wanted
    kinds = {"fine-prune": "fine_pruned", "relearn": "relearned", "unlearn": "unlearned"}
    for method, kind in kinds.items():
        document = told("repair.py", *files, "--method", method, "--seed", 3)
        check_json(document, kind)
        wanted = {"method": method, "seed": 3, "scale": 1.0, "threads": 2}
        assert document["settings"] == wanted


def test_that_of_predict(lab, tmp_path):
    Image.new("RGB", (12, 14)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no picture")
    done = run_in_process(
        *("predict.py", tmp_path / "a.png", tmp_path / "b.png"),
        *("--model", lab / "models/bd_net.h5", "--json", "-"),
    )
    document = json.loads(done.stdout)
    check_json(document, "predicted")
    assert done.returncode == 2 and "error" in document["images"][1]


def test_that_of_practice(tmp_path, monkeypatch):
    built = Built(Judgement(9, 9, 0, 8, 0, 8, 0), [tmp_path / "b.h5"], {"drawing": 0.5})
    monkeypatch.setattr(practice_lab, "build", lambda *given: built)
    document = told("practice.py", "--out", tmp_path / "lab")
    check_json(document, "practice")
    assert document["threads"] == 2


def test_what_is_too_much_or_missing_is_told(lab):
    document = told("eval.py", lab / "data/cl/test.h5", lab / "models/bd_net.h5")
    for wrong in (document | {"more": 1}, {k: v for k, v in document.items() if k != "settings"}):
        with pytest.raises(jsonschema.ValidationError):
            check_json(wrong, "judged")
