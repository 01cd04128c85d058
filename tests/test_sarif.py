"""audit.py --sarif: the verdict for code-scanning services, by the rules of SARIF 2.1.0."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from conftest import run_script
from hasty_audit import FOUND, audit, build_case

from goodnet.auditing import verdict


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a network, 100 %")
    audit(build_case(folder), folder / "first", "--fail-on", "never")
    return folder


def log_of(case, out, answer: str, **given: object) -> dict:
    """What is written where the verdict is this one."""
    told = verdict.Verdict(answer, [3], ["a reason"])
    again = replace(FOUND[-1], verdict=told, traced=None)
    done = audit(
        *(case, out, "--fail-on", "never", "--sarif", out.with_suffix(".sarif")),
        search=lambda *given: again,
        **given,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(out.with_suffix(".sarif").read_text())


@pytest.mark.parametrize(
    ("answer", "kind", "level"),
    [
        ("likely", "fail", "error"),
        ("possible", "fail", "warning"),
        ("inconclusive", "open", "none"),  # where the kind is not fail, the level is none: 3.27.10
    ],
)
def test_a_verdict_is_one_result_that_names_the_network(case, tmp_path, answer, kind, level):
    log = log_of(case, tmp_path / "out", answer)
    assert log["version"] == "2.1.0" and "2.1.0" in log["$schema"]
    (run,) = log["runs"]
    (result,) = run["results"]
    rules = run["tool"]["driver"]["rules"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert (result["kind"], result["level"]) == (kind, level)
    assert result["message"]["text"].startswith(f"Backdoor: {answer}")
    (place,) = result["locations"]
    named = place["physicalLocation"]["artifactLocation"]
    assert place["physicalLocation"]["region"] == {"startLine": 1} and rules[0]["help"]["text"]
    artifact = run["artifacts"][named["index"]]
    assert artifact["location"]["uri"] == named["uri"]
    parts = urlparse(named["uri"])
    network = case / "b.h5"
    assert (parts.scheme, unquote(parts.path)) == ("file", str(network)) and "%25" in parts.path
    assert artifact["hashes"] == {"sha-256": hashlib.sha256(network.read_bytes()).hexdigest()}


def test_a_network_is_named_as_it_was_on_the_command_line(case, tmp_path, monkeypatch):
    """So that a service finds it in its checkout."""
    monkeypatch.chdir(case)
    (case / "a b%").mkdir()
    (case / "a b%" / "b.h5").symlink_to(case / "b.h5")
    (run,) = log_of(Path("a b%"), tmp_path / "out", "likely", clean="../clean.h5")["runs"]
    assert run["artifacts"][0]["location"]["uri"] == "a%20b%25/b.h5"


def test_nothing_found_is_a_run_without_results(case, tmp_path):
    (run,) = log_of(case, tmp_path / "out", "nothing found")["runs"]
    assert run["results"] == []
    assert len(run["artifacts"]) == 1


def test_it_is_written_over_no_other_file(case, tmp_path):
    for taken in (case / "b.h5", case / "clean.h5", tmp_path / "report.html"):
        done = audit(case, tmp_path, "--sarif", taken)
        assert done.returncode == 2 and str(taken) in done.stderr, done.stderr
    where = tmp_path / "same.json"
    done = audit(case, tmp_path, "--json", where, "--sarif", where)
    assert done.returncode == 2 and str(where) in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_refused_audit_leaves_no_folder(case, tmp_path):
    files = case / "clean.h5", case / "b.h5"
    done = run_script("audit.py", *files, "--out", tmp_path / "new/folder", "--sarif", files[1])
    assert done.returncode == 2 and str(files[1]) in done.stderr
    assert list(tmp_path.iterdir()) == []
