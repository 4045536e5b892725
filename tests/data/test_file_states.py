"""Sizes and times of the files that rows name."""

import os
import time

import numpy as np
from helpers import tiny_manifest

from speecht5_fairseq.data import file_states as module
from speecht5_fairseq.data.file_states import digest, file_states
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest


def test_states_are_those_of_every_file_in_the_order_of_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 2)
    manifest = Manifest.open(tiny_manifest(tmp_path, 5, job="pretrain"), JOB_COLUMNS["pretrain"])
    (tmp_path / "audio_train/3.wav.npy").unlink()
    rows = np.array([4, 0, 3])
    states = file_states(manifest, rows)
    assert states.shape == (3, 2, 2) and states.dtype == np.int64
    for row, (audio, vector) in zip(rows, states.tolist(), strict=True):
        status = os.stat(tmp_path / f"audio_train/{row}.wav")
        assert audio == [status.st_size, status.st_mtime_ns]
        assert (vector == [-1, -1]) == (row == 3)


def test_a_digest_depends_on_every_state_and_their_order():
    states = np.arange(12).reshape(3, 2, 2)
    other = states.copy()
    other[1, 1, 1] += 1
    assert len({digest(states), digest(other), digest(states[::-1])}) == 3
    assert digest(states) == digest(states.copy())


def test_many_rows_are_quick(tmp_path):
    (tmp_path / "a.wav").touch()
    write_manifest(tmp_path / "train.tsv", tmp_path, (("a.wav", 100) for _ in range(50_000)))
    manifest = Manifest.open(tmp_path / "train.tsv", JOB_COLUMNS["s2t"])
    start = time.monotonic()
    states = file_states(manifest, np.arange(len(manifest)))
    assert len(states) == 50_000 and time.monotonic() - start < 5
