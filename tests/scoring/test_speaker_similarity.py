"""Cosines by hand."""

import numpy as np
import pytest

from speecht5_fairseq.scoring.errors import ScoreError
from speecht5_fairseq.scoring.speaker_similarity import speaker_similarity


@pytest.mark.parametrize(
    ("first", "second", "cosine"),
    [([1, 0], [0, 2], 0.0), ([1, 1], [3, 3], 1.0), ([1, 0], [-1, 0], -1.0), ([3, 4], [4, 3], 0.96)],
)
def test_cosine(first, second, cosine):
    assert speaker_similarity(np.array(first), np.array(second)) == pytest.approx(cosine, abs=1e-12)


def test_padding_changes_nothing():
    first, second = np.random.default_rng(0).standard_normal((2, 256))
    padded = np.pad(second, (0, 256))
    assert speaker_similarity(first, padded) == pytest.approx(speaker_similarity(first, second), abs=1e-12)


@pytest.mark.parametrize("vector", [np.zeros(3), np.array([np.nan, 1.0]), np.ones((2, 2))])
def test_what_is_no_vector(vector):
    with pytest.raises(ScoreError, match="speaker vector"):
        speaker_similarity(np.ones(3), vector)
