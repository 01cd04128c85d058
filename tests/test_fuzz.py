"""Files damaged by chance, in short; `make fuzz` does some thousands (tests/fuzzing.py)."""

import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import fuzzing
import numpy as np
import pytest
from conftest import tiny_network

from goodnet.errors import Unsafe, Unusable
from goodnet.networks import loading


@pytest.mark.child
def test_files_damaged_by_chance_are_used_or_refused(tmp_path):
    count, seed = 40, 20
    ended = fuzzing.fuzz(count, fuzzing.State(seed), tmp_path, scripts_every=0)
    assert set(ended) == {0, 2, 3}, ended


def test_mutations_are_the_same_for_the_same_seed(tiny_lab):
    content = (tiny_lab / "models/bd_net.h5").read_bytes()
    one, same, other = (
        [fuzzing.mutate(content, np.random.default_rng([seed, i])) for i in range(5)]
        for seed in (1, 1, 2)
    )
    assert one == same != other and all(made != content for made in one)


def test_a_stopped_run_goes_on_and_ends_as_one_that_was_not(tmp_path, fuzz_good_ones, monkeypatch):
    state = tmp_path / "state.json"
    whole = fuzz_good_ones()
    used, calls = fuzzing.use, []

    def stopped(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return used(*args)

    monkeypatch.setattr(fuzzing, "use", stopped)
    with pytest.raises(KeyboardInterrupt):
        fuzz_good_ones(state_path=state)
    assert fuzzing.read_state(state, 7) == fuzzing.State(20, 1, Counter({0: 1}))
    assert fuzz_good_ones(state_path=state) == whole and len(calls) == 3


# ---------------------------------------------------------------- what must not come of a file


@pytest.fixture
def fuzz_good_ones(tmp_path, monkeypatch):
    """Fuzzing with a small network's file, none of which is damaged."""
    tiny_network().save(tmp_path / "b.h5")
    good = [("network", (tmp_path / "b.h5").read_bytes(), ())]
    monkeypatch.setattr(fuzzing, "sources", lambda folder: good)
    monkeypatch.setattr(fuzzing, "mutate", lambda content, rng: content)

    def fuzz(scripts_every: int = 0, state_path: Path | None = None) -> dict:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        state = fuzzing.read_state(state_path, 20)
        return fuzzing.fuzz(2, state, folder, scripts_every, state_path=state_path)

    return fuzz


def raising(error: Exception):
    def load_network(source):
        raise error

    return load_network


def leaving(where: str):
    def load_network(source):
        folder = source.path.parent if where == "beside" else Path(tempfile.gettempdir())
        (folder / "left").touch()
        raise Unusable("it leaves something behind", source.path)

    return load_network


def answering_otherwise(source):
    loaded = loading.load_network(source)
    *others, bias = loaded.model.get_weights()
    loaded.model.set_weights([*others, bias + np.arange(len(bias)) / 1e4])
    return loaded


def test_what_works_and_what_is_refused_in_one_line_is_counted(fuzz_good_ones, monkeypatch):
    assert fuzz_good_ones() == {0: 2}
    for error in (Unusable("it is bad"), Unsafe("it is worse")):
        monkeypatch.setattr(fuzzing, "load_network", raising(error))
        assert fuzz_good_ones() == {error.exit_status: 2}


@pytest.mark.parametrize(
    "load_network, says",
    [
        (raising(KeyError("layers")), r"mutation 0 of seed 20: KeyError\('layers'\)"),
        (raising(MemoryError()), "mutation 0 of seed 20: MemoryError"),
        (raising(Unusable("two\nlines")), "mutation 0 of seed 20: AssertionError"),
        (leaving("beside"), "mutation 0 leaves .*left"),
        (leaving("in the temporary folder"), "mutation 0 leaves .*left"),
        (answering_otherwise, "mutation 0 of seed 20: .*plain Keras answers otherwise"),
    ],
    ids=["KeyError", "MemoryError", "two lines", "beside", "temporary", "otherwise"],
)
def test_what_must_not_come_of_a_file_ends_it(fuzz_good_ones, monkeypatch, load_network, says):
    monkeypatch.setattr(fuzzing, "load_network", load_network)
    with pytest.raises(AssertionError, match=says):
        fuzz_good_ones()


def test_a_file_that_takes_long_ends_it(fuzz_good_ones, monkeypatch):
    monkeypatch.setattr(fuzzing, "MOST_SECONDS", 0)
    with pytest.raises(AssertionError, match="mutation 0 of seed 20"):
        fuzz_good_ones()


@pytest.mark.parametrize(
    "status, said, passes",
    [
        (0, "Hint: one\nline: two\n", True),
        (2, "eval.py: it.h5: is bad\n", True),
        (3, "eval.py: it.h5:\nis worse\n", False),
        (2, "Traceback (most recent call last): …\n", False),
        (1, "eval.py: it.h5: is bad\n", False),
        (-11, "", False),
    ],
)
def test_eval_py_must_end_well(fuzz_good_ones, monkeypatch, status, said, passes):
    done = SimpleNamespace(returncode=status, stderr=said)
    monkeypatch.setattr(fuzzing, "run_script", lambda *command, **options: done)
    if passes:
        assert fuzz_good_ones(scripts_every=1) == {status: 2}
        return
    with pytest.raises(AssertionError):
        fuzz_good_ones(scripts_every=1)
