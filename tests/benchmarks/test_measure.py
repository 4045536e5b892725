"""Processes that step in turn."""

import io
import subprocess
from pathlib import Path

import pytest

from benchmarks import measure as measuring
from benchmarks.measure import READY, in_turns, measure
from benchmarks.training_step import PAIRS, beside

STEPPER = """
import argparse
from benchmarks.measure import measure, tell

parser = argparse.ArgumentParser()
parser.add_argument("name")
parser.add_argument("--turns", action="store_true")
parser.add_argument("--repeats", type=int)
options = parser.parse_args()

def step():
    with open("order.txt", "a") as file:
        file.write(options.name + " ")
    print("a line of its own")
    if options.name == "bad":
        raise SystemExit(3)

tell(measure(options.name, step, device="cpu", warm_up=1, repeats=options.repeats, turns=options.turns))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "stepper.py").write_text(STEPPER)
    monkeypatch.setattr(measuring, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return tmp_path


def test_processes_step_in_turn_after_their_warm_up(folder):
    found = in_turns("stepper", {"one": ["first"], "other": ["second"]}, repeats=3)
    assert (folder / "order.txt").read_text().split() == ["first", "second"] * 4
    assert [found[name].name for name in ("one", "other")] == ["first", "second"]
    assert all(each.fastest <= each.seconds <= each.slowest and each.peak_gib > 0.05 for each in found.values())


def test_a_process_that_fails_ends_all(folder):
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        in_turns("stepper", {"one": ["good"], "other": ["bad"]}, repeats=3)


def test_a_process_whose_turns_end_does_not_wait_for_ever(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(SystemExit, match="no turn came"):
        measure("step", lambda: None, device="cpu", warm_up=0, repeats=1, turns=True)
    assert capsys.readouterr().out == READY + "\n"


def test_what_is_compared_steps_beside_each_other():
    (case, (peer, *_)), *_ = PAIRS.items()
    assert beside(["pretrain_speech", case, "s2t", peer]) == [["pretrain_speech"], ["s2t"], [case, peer]]
    assert beside([peer]) == [[peer]]
