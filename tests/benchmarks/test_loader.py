"""The benchmark of the data loader: what it loads, and what it makes of the times."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import loader
from benchmarks.loader import Corpus, corpora, load, measured, report
from benchmarks.measure import Measurement
from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(loader, "SECONDS", 1)
    monkeypatch.setattr(loader, "LONG", 2)


def test_all_forms_of_a_corpus_hold_the_same_recordings(short, tmp_path):
    found = {corpus.name: Manifest.open(corpus.manifest, JOB_COLUMNS["pretrain"]) for corpus in corpora(tmp_path, 2)}
    assert len(found) == 8 and sum(".tar:" in manifest.row(1)["path"] for manifest in found.values()) == 4
    for kind, seconds in (("whole", 1), ("crop", 2)):
        same = [manifest for name, manifest in found.items() if name.endswith(kind)]
        for manifest in same:
            assert manifest.samples.tolist() == [seconds * 16_000] * 2
            ours, first = read_audio(manifest.path(1)), read_audio(same[0].path(1))
            np.testing.assert_allclose(ours, first, atol=1.01 / 32768)  # libsndfile rounds WAV and FLAC differently


def test_every_form_is_timed_and_workers_are_forked_before_this_process_computes(short, tmp_path, monkeypatch):
    given, order = list(corpora(tmp_path, 5)), []
    monkeypatch.setattr(loader, "load", lambda *call: order.append(call[1]) or load(*call))
    found = measured(given, [0, 1], 2)
    assert list(found) == given and order == [1] * 8 + [0] * 8
    for corpus, by_workers in found.items():
        assert [each.name for each in by_workers.values()] == [f"{corpus.name}, {number} workers" for number in (0, 1)]
        assert all(each.seconds > 0 for each in by_workers.values())


def test_the_ratio_is_that_of_the_most_workers_over_what_a_step_takes():
    def took(seconds):
        return Measurement("epoch", seconds, seconds, seconds, 1.0)

    found = {Corpus("WAV, whole", Path("x.tsv")): {0: took(4.0), 2: took(2.0)}}
    made = report(found, utterances=100, wanted=10.0)
    (ratio,) = made.ratios
    assert ratio.times == pytest.approx(5) and ratio.work == "loader, WAV, whole, 2 workers"
    assert made.notes[1] == "WAV, whole: utterances a second by workers: 25 with 0, 50 with 2"


def test_the_program_writes_its_report(tmp_path):
    file = tmp_path / "loader.json"
    options = ["--appetite", "7", "--utterances", "4", "--workers", "0", "--repeats", "1", "--json", str(file)]
    folder = Path(loader.__file__).parents[1]
    subprocess.run([sys.executable, "-m", "benchmarks.loader", *options], cwd=folder, check=True, capture_output=True)
    found = json.loads(file.read_text())
    assert found["program"] == "loader" and len(found["ratios"]) == 8 and len(found["measurements"]) == 8
    assert found["notes"][0] == "a step takes 7 utterances of 10 s a second"
