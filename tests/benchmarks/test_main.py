"""The programs that `python -m benchmarks` runs, and what it keeps of them."""

import json

import pytest

from benchmarks.__main__ import PROGRAMS, chosen, results, run
from benchmarks.measure import machine

RATIO = {"work": "a step", "ours": 1.5, "peer": 3.0, "unit": "s", "peer_name": "theirs", "aim": 1.6, "floor": None}
REPORT = {"program": "step", "date": "2026-01-31", "ratios": [RATIO], "notes": ["a note"], "growths": []}


@pytest.mark.parametrize("has", [True, False])
def test_programs_in_bfloat16_need_a_processor_that_has_it(monkeypatch, has):
    monkeypatch.setattr("speecht5_fairseq.modules.precision.has_bfloat16", lambda device: has)
    names, left_out = chosen(None)
    assert sorted(names + left_out) == sorted(PROGRAMS)
    assert left_out == ([] if has else ["step_bf16", "encoder_bf16", "synthesis_bf16", "search_bf16"])
    assert chosen(["step_bf16"]) == (["step_bf16"], [])


def test_a_report_that_is_there_is_not_made_again(tmp_path, monkeypatch):
    there = REPORT | {"machine": machine() | {"threads": "2"}}
    (tmp_path / "mel.json").write_text(json.dumps(there))
    monkeypatch.setattr("subprocess.run", None)
    assert run("mel", tmp_path, threads=2, repeats=5) == there
    with pytest.raises(SystemExit, match=r"mel.json: measured otherwise \(threads 2 there, 1 here\); delete it"):
        run("mel", tmp_path, threads=1, repeats=5)
    (tmp_path / "mel.json").write_text(json.dumps({name: there[name] for name in there if name != "date"}))
    with pytest.raises(SystemExit, match="mel.json: of an older version, it tells no date; delete it"):
        run("mel", tmp_path, threads=2, repeats=5)


def test_the_table_says_what_was_measured_and_what_was_not():
    text = results([REPORT], "100 GFLOP/s", 2, ["step_bf16"])
    assert "| a step | 1.5 s | 3 s | theirs | 2.00 | 1.6 |  |  |" in text
    floored = REPORT | {"ratios": [RATIO | {"floor": 1.25}]}
    assert "| a step | 1.5 s | 3 s | theirs | 2.00 | 1.6 | 1.25 | 2.40 |" in results([floored], "100 GFLOP/s", 2)
    assert "- step: a note" in text and "multiplies no bfloat16: step_bf16" in text
    assert "`python -m benchmarks`, 2026-01-31: 2 threads" in text
