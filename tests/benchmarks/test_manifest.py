"""The benchmark of large manifests: both sides read the same rows, and what it makes of the measurements."""

import json
import os
from mmap import mmap
from pathlib import Path

import numpy as np
import pytest

from benchmarks import manifest
from benchmarks.manifest import CASES, OurRows, PeerRows, memory_of, opening, report, single, working, write_rows
from benchmarks.measure import Measurement, apart
from speecht5_fairseq.data import line_index


@pytest.fixture
def folder(tmp_path):
    write_rows(tmp_path, 3000)
    return tmp_path


def test_both_sides_find_the_same_rows_in_the_same_batches(folder):
    ours, peer = OurRows(folder), PeerRows(folder)
    assert len(ours) == len(peer) == 3000 and ours.data.sizes.tolist() == list(peer.sizes)
    assert [ours[row] for row in range(0, 3000, 7)] == [peer[row] for row in range(0, 3000, 7)]
    for one, other in zip(ours.batches(), peer.batches(), strict=True):
        assert ours.data.sizes[one].tolist() == np.array(peer.sizes)[other].tolist()


def test_the_first_opening_makes_the_index_and_the_next_finds_it(folder, monkeypatch):
    monkeypatch.setattr(line_index, "INDEX_FROM", 1)
    (folder / "train.km.idx").write_text("of an earlier run")
    assert opening("ours, first", folder).seconds > 0
    made = {file.name: file.read_bytes() for file in folder.glob("*.idx")}
    assert len(made) == 2 and opening("ours", folder).seconds > 0
    assert {file.name: file.read_bytes() for file in folder.glob("*.idx")} == made


@pytest.mark.parametrize("case", ["ours, workers", "fairseq, workers"])
def test_workers_go_over_all_rows_and_their_memory_is_read(folder, case):
    found = working(case, folder, workers=1)
    assert found.name == case and 0 < found.extra_gib <= found.peak_gib


def test_memory_is_that_of_a_process():
    before = memory_of(os.getpid())
    with mmap(-1, 1 << 25) as kept:  # pages of its own, where an array may lie in what was freed before
        kept.write(bytes(len(kept)))
        more = memory_of(os.getpid()).uss - before.uss
        assert more == pytest.approx(len(kept) / 2**30, rel=0.2)


def test_ratios_are_of_seconds_and_megabytes():
    numbers = dict(zip(CASES, ((4.0, 0.25), (1.0, 0.125), (8.0, 0.5), (9.0, 0.01), (9.0, 0.2)), strict=True))
    found = {
        name: Measurement(name, seconds, seconds, seconds, 1.0, extra) for name, (seconds, extra) in numbers.items()
    }
    made = report(found, 2_000_000, 2)
    assert [ratio.times for ratio in made.ratios] == pytest.approx([8, 2, 4, 2, 20])
    assert made.ratios[2].ours == 128 and made.ratios[2].unit == "MB"
    assert "a million rows: ours 0.50 s and 64 MB (aims 2 and 300), the first time 2.00 s" in made.notes[0]


def test_the_program_writes_its_report(tmp_path, monkeypatch):
    def here(module, arguments, rounds):
        assert module == manifest.__name__ and rounds == 1
        case, folder = arguments[1], Path(arguments[3])
        return single(case, folder, workers=1)

    monkeypatch.setattr(manifest, "apart", here)
    file = tmp_path / "manifest.json"
    manifest.main(["--rows", "500", "--workers", "1", "--repeats", "1", "--threads", "1", "--json", str(file)])
    found = json.loads(file.read_text())
    assert found["program"] == "manifest" and [each["name"] for each in found["measurements"]] == list(CASES)
    assert len(found["ratios"]) == 5


def test_a_case_runs_in_a_process_of_its_own(folder):
    found = apart(manifest.__name__, ["--single", "ours", "--folder", str(folder)])
    assert found.name == "ours" and found.seconds > 0
