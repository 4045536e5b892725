"""Text infilling: invariants for any input, and the shares that the paper gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speecht5_fairseq.data.infilling import infill, masked_tokens

BOS, EOS, MASK, FIRST = 0, 2, 1000, 4


def noised(inner, seed=0, **options):
    tokens = np.array([BOS, *inner, EOS])
    rng = np.random.default_rng(seed)
    return infill(tokens, rng=rng, mask_index=MASK, random_range=(500, 600), **options)


@settings(max_examples=200)
@given(length=st.integers(0, 60), seed=st.integers(0, 2**32), ratio=st.floats(0, 1), mean=st.floats(0.1, 8))
def test_invariants(length, seed, ratio, mean):
    inner = np.arange(FIRST, FIRST + length)  # all different: what stays can be told from what was drawn
    result = noised(inner, seed, ratio=ratio, mean_span=mean)
    assert result[0] == BOS and result[-1] == EOS and result.dtype == np.int64
    middle = result[1:-1]
    stayed = middle[middle < 500]
    assert len(stayed) == length - masked_tokens(length, ratio)  # the budget, exactly
    assert (np.diff(stayed) > 0).all() and np.isin(stayed, inner).all()  # in order
    fillers = middle[middle >= 500]
    assert ((fillers == MASK) | ((fillers >= 500) & (fillers < 600))).all()
    assert (len(fillers) > 0) == (masked_tokens(length, ratio) > 0)
    assert np.array_equal(result, noised(inner, seed, ratio=ratio, mean_span=mean))


def test_shares():
    inner = np.arange(FIRST, FIRST + 400)
    results = [noised(inner, seed)[1:-1] for seed in range(400)]
    fillers = np.concatenate([result[result >= 500] for result in results])
    assert abs((fillers != MASK).mean() - 0.1) < 0.01  # random tokens
    spans = len(fillers) / len(results)
    assert abs(120 / spans - 3.5) < 0.15  # mean span over 30% of 400 tokens; the last span is cut
    zero = np.mean([_inserted(result) for result in results])
    assert 0.5 < zero / (spans * np.exp(-3.5)) < 1.5


def _inserted(result):
    """Masks between two tokens that were neighbours: spans of length 0 (fewer than all: masks may be neighbours)."""
    isolated = (result[1:-1] >= 500) & (result[:-2] < 500) & (result[2:] < 500) & (result[2:] - result[:-2] == 1)
    return int(isolated.sum())


def test_masking_is_even_but_for_the_ends():
    """A span covers the first token only by starting there: the ends are masked less often, as in BART's own code."""
    inner = np.arange(FIRST, FIRST + 20)
    gone = np.zeros(20)
    for seed in range(3000):
        gone += ~np.isin(inner, noised(inner, seed))
    share = gone / 3000
    assert abs(share.mean() - 0.3) < 1e-9
    assert np.ptp(share[5:-5]) < 0.05
    np.testing.assert_allclose(share, share[::-1], atol=0.04)


def test_nothing_to_mask():
    assert noised([]).tolist() == [BOS, EOS]
    assert noised([7, 8], ratio=0.0).tolist() == [BOS, 7, 8, EOS]
    assert masked_tokens(10, 0.3) == 3 and masked_tokens(1, 0.3) == 1


@pytest.mark.parametrize("bad", [{"ratio": 1.1}, {"mean_span": 0}, {"random_ratio": -0.1}])
def test_bad_options(bad):
    with pytest.raises(ValueError, match="infill needs"):
        noised([5, 6, 7], **bad)
