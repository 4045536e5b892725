"""Lengths, padding and span masks."""

import pytest
import torch
from torch import nn

from speecht5_fairseq.constants import CONV_LAYERS, ENCODER_STRIDE, ENCODER_WINDOW
from speecht5_fairseq.modules.masks import conv_lengths, padding_mask, span_mask, valid_mask, zero_padding

OPTIONS = {"probability": 0.8, "span": 10, "min_spans": 2, "stream": "frames"}


def spans(lengths, size=None, seeds=None, **options):
    lengths = torch.tensor(lengths)
    seeds = torch.arange(len(lengths)) if seeds is None else torch.tensor(seeds)
    return span_mask(lengths, size or int(lengths.max()), seeds=seeds, **{**OPTIONS, **options})


def test_masks_of_lengths():
    lengths = torch.tensor([3, 1])
    assert valid_mask(lengths, 3).tolist() == [[True, True, True], [True, False, False]]
    assert padding_mask(lengths, 3).tolist() == [[False, False, False], [False, True, True]]
    assert padding_mask(torch.tensor([3, 3]), 3) is None
    states = torch.ones(2, 3, 2)
    assert zero_padding(states, padding_mask(lengths, 3)).sum() == 8
    assert zero_padding(states, None) is states


def test_lengths_are_those_of_the_convolutions():
    convs = nn.Sequential(*(nn.Conv1d(1, 1, kernel, stride) for _, kernel, stride in CONV_LAYERS))
    samples = [400, 401, 719, 720, 1039, 1040, 4000, 4001, 5555]
    lengths = conv_lengths(torch.tensor(samples), CONV_LAYERS)
    assert lengths.tolist() == [convs(torch.zeros(1, 1, count)).size(-1) for count in samples]
    assert conv_lengths(torch.tensor([0, 5, 399]), CONV_LAYERS).tolist() == [0, 0, 0]


def test_lengths_follow_from_window_and_stride():
    samples = torch.arange(ENCODER_WINDOW, 5000)
    expected = (samples - ENCODER_WINDOW) // ENCODER_STRIDE + 1
    assert torch.equal(conv_lengths(samples, CONV_LAYERS), expected)


def test_coverage_is_that_of_independent_starts():
    """n = p T / w spans at random places cover about 1 - (1 - w/T)^n of the frames: near 1 - exp(-p)."""
    length, rows = 500, 400
    masked = spans([length] * rows)
    count = OPTIONS["probability"] * length / OPTIONS["span"]
    places = length - OPTIONS["span"] + 1
    expected = 1 - (1 - OPTIONS["span"] / places) ** count
    assert abs(masked.float().mean().item() - expected) < 0.02
    middle = masked[:, 100:400].float().mean(0)
    assert middle.std() < 0.05  # no place is preferred


def test_number_of_spans_is_right_on_average():
    """Spans of one frame never overlap: their number is probability x length, rounded up or down at random."""
    counts = spans([33] * 2000, span=1, probability=0.25, min_spans=0).sum(1)
    assert set(counts.tolist()) == {8, 9}
    assert abs(counts.float().mean().item() - 8.25) < 0.05


def test_masked_runs_are_at_least_a_span():
    for row in spans([200] * 50, probability=0.2).tolist():
        runs = "".join("x" if masked else " " for masked in row).split()
        assert all(len(run) >= 10 for run in runs)


def test_at_least_the_smallest_number_of_spans():
    counts = spans([40] * 200, probability=0.01, span=1, min_spans=2).sum(1)
    assert counts.min() == 2


@pytest.mark.parametrize("length", [1, 2, 9, 10, 11])
def test_short_utterances(length):
    row = spans([length, 50])[0]
    assert row[:length].any() and not row[length:].any()
    assert row[:length].all() if length <= 10 else row.sum() >= 10


def test_a_mask_does_not_depend_on_the_batch():
    batch = spans([60, 200, 90], seeds=[7, 8, 9])
    for row, (length, seed) in enumerate(zip((60, 200, 90), (7, 8, 9), strict=True)):
        assert torch.equal(spans([length], seeds=[seed])[0], batch[row, :length])
        assert not batch[row, length:].any()


def test_seeds_differ_and_repeat():
    assert torch.equal(spans([200], seeds=[1]), spans([200], seeds=[1]))
    assert not torch.equal(spans([200], seeds=[1]), spans([200], seeds=[2]))


def test_no_draw_from_the_global_generator():
    before = torch.get_rng_state()
    spans([100, 50])
    assert torch.equal(torch.get_rng_state(), before)


def test_purposes_draw_numbers_of_their_own():
    assert not torch.equal(spans([100]), spans([100], stream="channels"))
