"""Speaker vectors of every kind."""

import numpy as np
import pytest
import torch

from speecht5_fairseq.data.errors import AudioError
from speecht5_fairseq.interface.voices import speaker_vectors


def vector(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(512).astype(np.float32)


def test_one_for_all_or_one_each(tmp_path):
    np.save(tmp_path / "a.npy", vector(1))
    for one in (
        vector(1),
        torch.from_numpy(vector(1)),
        vector(1).tolist(),
        tmp_path / "a.npy",
        str(tmp_path / "a.npy"),
    ):
        assert np.array_equal(speaker_vectors(one, 3).numpy(), np.stack([vector(1)] * 3))
    each = [vector(2), tmp_path / "a.npy"]
    assert np.array_equal(speaker_vectors(each, 2).numpy(), np.stack([vector(2), vector(1)]))
    assert np.array_equal(speaker_vectors(np.stack([vector(2), vector(3)]), 2).numpy()[1], vector(3))
    assert speaker_vectors([], 0).shape == (0, 512)


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(AudioError, match=r"^the speaker: a speaker vector of shape \(256,\), not \(512,\); make it"):
        speaker_vectors(vector(1)[:256], 1)
    with pytest.raises(ValueError, match="2 speaker vectors for 3 utterances: give one of"):
        speaker_vectors([vector(1), vector(2)], 3)
    with pytest.raises(AudioError, match="no readable speaker vector"):
        speaker_vectors(tmp_path / "none.npy", 1)
