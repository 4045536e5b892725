"""Speaker vectors of every kind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny_model

from speecht5_fairseq.data.errors import AudioError
from speecht5_fairseq.interface.voices import Voicing, speaker_vectors


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
    with pytest.raises(ValueError, match="2 speaker vectors for 3 utterances: give one, or one each"):
        speaker_vectors([vector(1), vector(2)], 3)
    with pytest.raises(AudioError, match="no readable speaker vector"):
        speaker_vectors(tmp_path / "none.npy", 1)


@pytest.mark.parametrize("bad", [np.full(512, np.nan), np.zeros(512), torch.zeros(512), torch.full((512,), np.inf)])
def test_arrays_are_checked_as_files_are(bad, tmp_path):
    np.save(tmp_path / "bad.npy", np.asarray(bad))
    for given, name in ((bad, "the speaker"), (tmp_path / "bad.npy", f"{tmp_path}/bad.npy")):
        with pytest.raises(AudioError, match=f"^{name}: the speaker vector is all zero or holds NaN or infinity"):
            speaker_vectors(given, 1)
    with pytest.raises(AudioError, match="^speaker 2: the speaker vector is all zero"):
        speaker_vectors([vector(1), bad], 2)


def test_vectors_may_have_a_gradient_another_type_or_come_one_by_one():
    learnt = torch.nn.Parameter(torch.from_numpy(vector(1)))
    expected = np.stack([vector(1), vector(2)])
    assert np.array_equal(speaker_vectors([learnt, vector(2).astype(np.float64)], 2).numpy(), expected)
    assert np.array_equal(speaker_vectors((each for each in (learnt, vector(2))), 2).numpy(), expected)
    assert np.array_equal(speaker_vectors(list(vector(1)), 2).numpy(), np.stack([vector(1)] * 2))
    assert not speaker_vectors(learnt, 1).requires_grad
    half = speaker_vectors(learnt.bfloat16(), 1)
    assert np.allclose(half.numpy(), vector(1), rtol=1e-2)


@pytest.mark.parametrize("given", [None, 3, [[1.0], "a"], np.array(["a"] * 512)])
def test_what_is_no_vector_is_one_error(given):
    with pytest.raises(AudioError):
        speaker_vectors(given, 2)


def test_a_vocoder_is_found_before_it_is_needed(tmp_path):
    voicing = Voicing(tiny_model("s2s"), torch.device("cpu"))
    assert voicing.ready(Path("griffin-lim"), source=False) == "griffin-lim" and "griffin-lim" in voicing.vocoders
    assert voicing.ready("none", source=False) == "none"
    with pytest.raises(ValueError, match="no vocoder .*nowhere'"):
        voicing.ready(tmp_path / "nowhere", source=False)
    with pytest.raises(ValueError, match="vocoder 'source' is for enhancement"):
        voicing.ready("source", source=True)
    masks = Voicing(tiny_model("s2s", speech_prediction="mask", reduction_factor=1), torch.device("cpu"))
    assert masks.ready("source", source=True) == masks.default == "source"
    with pytest.raises(ValueError, match="vocoder 'source' is for enhancement"):
        masks.ready("source", source=False)
