"""Speaker vectors."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from speecht5_fairseq.data import npy
from speecht5_fairseq.data.errors import AudioError
from speecht5_fairseq.data.speaker import read_speaker


@pytest.mark.parametrize(
    ("vector", "problem"),
    [(np.ones(256), "shape .256"), (np.ones((1, 512)), "shape .1, 512"), (np.zeros(512), "all zero"),
     (np.full(512, np.nan), "NaN"), (None, "no readable")],
)  # fmt: skip
def test_speaker_vector_errors(tmp_path, vector, problem):
    if vector is not None:
        np.save(tmp_path / "v.npy", vector)
    with pytest.raises(AudioError, match=f"v.npy: .*{problem}.*manifest_tools.speaker_vectors"):
        read_speaker(tmp_path / "v.npy")


def test_speaker_vectors_are_read_one_at_a_time(tmp_path, monkeypatch):
    """Threads that verify a manifest: numpy parses headers with a parser that two threads of Python 3.11 upset."""
    np.save(tmp_path / "speaker.npy", np.ones(512, np.float32))
    read, reading, most = npy.npy_format.read_magic, [], []

    def slow_read(file):
        reading.append(1)
        most.append(len(reading))
        time.sleep(0.002)
        reading.pop()
        return read(file)

    monkeypatch.setattr(npy.npy_format, "read_magic", slow_read)
    with ThreadPoolExecutor(8) as pool:
        vectors = list(pool.map(read_speaker, [tmp_path / "speaker.npy"] * 32))
    assert len(vectors) == 32 and max(most) == 1
