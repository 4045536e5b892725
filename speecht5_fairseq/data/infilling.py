"""BART's text infilling as one pure function. Source: Lewis et al. 2019 (arXiv 1910.13461), section 2.2."""

from __future__ import annotations

import math

import numpy as np

from ..ranges import Rule, number

# tokens; shorter spans than the least insert masks by the hundred, and no text is as long as the longest
SPAN = Rule(number(lambda found: 0.01 <= found <= 10_000), "a number of tokens from 0.01 to 10,000")


def infill(
    tokens: np.ndarray,
    *,
    rng: np.random.Generator,
    mask_index: int,
    random_range: tuple[int, int],
    ratio: float = 0.3,
    mean_span: float = 3.5,
    random_ratio: float = 0.1,
) -> np.ndarray:
    """Replace spans of tokens by one `<mask>` each.

    Span lengths are drawn from Poisson(mean_span) until they cover ceil(ratio x inner tokens); the last is cut to fit.
    Spans do not overlap, so exactly that many tokens go; every arrangement of spans among the tokens that stay is
    equally likely. A span of length 0 inserts its mask. Unlike fairseq's code, which lets spans run into each other,
    the share of masked tokens does not fall short of `ratio`.

    Args:
        tokens: integers (L,), first `<s>` and last `</s>`: neither is masked, moved or counted.
        rng: the only source of chance.
        random_range: (first, end) of the indices that a random token is drawn from.
        random_ratio: chance that a mask becomes a random token instead.

    Returns:
        int64 (Ls,): `tokens` after noise.

    Raises:
        ValueError: an argument out of its range.
    """
    if not (0 <= ratio <= 1 and 0 <= random_ratio <= 1 and mean_span > 0 and random_range[0] < random_range[1]):
        raise ValueError(
            f"infill needs ratio and random_ratio in [0, 1], mean_span > 0 and a non-empty random_range, not ratio "
            f"{ratio}, random_ratio {random_ratio}, mean_span {mean_span}, random_range {random_range}"
        )
    tokens = np.asarray(tokens, dtype=np.int64)
    inner = tokens[1:-1]
    budget = masked_tokens(len(inner), ratio)
    if budget == 0:
        return tokens.copy()
    lengths = _span_lengths(rng, budget, mean_span)
    fillers = np.full(len(lengths), mask_index, dtype=np.int64)
    swap = rng.random(len(lengths)) < random_ratio
    fillers[swap] = rng.integers(*random_range, size=int(swap.sum()))
    noised = _place(rng, inner, lengths, fillers)
    return np.concatenate([tokens[:1], noised, tokens[-1:]])


def masked_tokens(inner: int, ratio: float) -> int:
    """How many of `inner` tokens the spans cover: rounded up, but not for the last bit of a float product."""
    return max(0, min(inner, math.ceil(round(inner * ratio, 6))))


def _span_lengths(rng: np.random.Generator, budget: int, mean_span: float) -> np.ndarray:
    """Poisson lengths (K,) in random order whose sum is `budget`."""
    lengths = rng.poisson(mean_span, size=budget)
    while lengths.sum() < budget:
        lengths = np.concatenate([lengths, rng.poisson(mean_span, size=budget)])
    ends = lengths.cumsum()
    count = int(np.searchsorted(ends, budget)) + 1
    lengths = lengths[:count]
    lengths[-1] -= ends[count - 1] - budget
    return rng.permutation(lengths)


def _place(rng: np.random.Generator, inner: np.ndarray, lengths: np.ndarray, fillers: np.ndarray) -> np.ndarray:
    """Choose which of the result's places are spans; the tokens that stay fill the others in order."""
    places = len(inner) - int(lengths.sum()) + len(lengths)
    spans = np.sort(rng.choice(places, size=len(lengths), replace=False))
    widths = np.ones(places, dtype=np.int64)  # inner tokens that each place of the result stands for
    widths[spans] = lengths
    starts = widths.cumsum() - widths
    result = inner[np.minimum(starts, len(inner) - 1)]  # a 0-length span at the end has no token of its own
    result[spans] = fillers
    return result
