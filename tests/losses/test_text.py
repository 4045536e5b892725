"""Losses over tokens against sums written out and against all CTC paths."""

import itertools

import pytest
import torch
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss

from speecht5_fairseq.losses.text import ctc_loss, ctc_needs_frames, token_loss

PAD, BLANK = 1, 0


def test_label_smoothing_by_hand():
    logits, target = torch.randn(2, 3, 5), torch.tensor([[2, 3, PAD], [4, PAD, PAD]])
    result = token_loss(logits, target, padding=PAD, smoothing=0.1)
    log_probs, nll, smooth = logits.log_softmax(-1), 0.0, 0.0
    for row, place in ((0, 0), (0, 1), (1, 0)):
        nll -= log_probs[row, place, target[row, place]]
        smooth -= log_probs[row, place].sum() - log_probs[row, place, target[row, place]]
    torch.testing.assert_close(result.nll, nll)
    torch.testing.assert_close(result.loss, 0.9 * nll + 0.1 / 4 * smooth)
    assert result.tokens == 3


def test_label_smoothing_is_fairseqs():
    logits, target = torch.randn(2, 3, 5), torch.tensor([[2, 3, PAD], [4, PAD, PAD]])
    lprobs = logits.log_softmax(-1).flatten(0, 1)
    expected, _ = label_smoothed_nll_loss(lprobs, target.flatten()[:, None], 0.1, ignore_index=PAD)
    torch.testing.assert_close(token_loss(logits, target, padding=PAD, smoothing=0.1).loss, expected)


def test_without_smoothing_loss_and_likelihood_are_one():
    logits, target = torch.randn(2, 3, 5), torch.tensor([[2, 3, PAD], [4, PAD, PAD]])
    result = token_loss(logits, target, padding=PAD, smoothing=0.0)
    torch.testing.assert_close(result.loss, result.nll)


def test_correct_tokens_and_no_gradient_at_padding():
    logits = torch.zeros(1, 3, 5)
    logits[0, 0, 2], logits[0, 1, 4], logits[0, 2, PAD] = 5.0, 5.0, 5.0
    logits.requires_grad_()
    result = token_loss(logits, torch.tensor([[2, 3, PAD]]), padding=PAD, smoothing=0.1)
    assert (result.correct, result.tokens) == (1, 2)
    result.loss.backward()
    assert (logits.grad[0, 2] == 0).all() and (logits.grad[0, :2] != 0).all()


def test_half_precision_is_computed_in_float32():
    logits = torch.randn(1, 40, 50).half()
    result = token_loss(logits, torch.full((1, 40), 3), padding=PAD, smoothing=0.1)
    assert result.loss.dtype == torch.float32


def collapse(path):
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK)


def brute_force(log_probs, target):
    """-log of the summed probability of every path (V^T of them) that spells the target."""
    frames, symbols = log_probs.shape
    paths = [path for path in itertools.product(range(symbols), repeat=frames) if collapse(path) == tuple(target)]
    scores = torch.stack([sum(log_probs[t, symbol] for t, symbol in enumerate(path)) for path in paths])
    return -scores.logsumexp(0)


def test_ctc_is_the_sum_over_all_paths():
    logits = torch.randn(4, 5, 3, dtype=torch.float64).float()
    lengths, targets = [5, 4, 3, 5], [(1, 2), (2, 2), (1,), (1, 1, 2)]
    padded = torch.full((4, 3), 2)
    for row, target in zip(padded, targets, strict=True):
        row[: len(target)] = torch.tensor(target)
    sizes = torch.tensor([len(target) for target in targets])
    losses = ctc_loss(logits, torch.tensor(lengths), padded, sizes, blank=BLANK, zero_infinity=True)
    for row in range(4):
        expected = brute_force(logits[row, : lengths[row]].log_softmax(-1), targets[row])
        torch.testing.assert_close(losses[row], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("zero_infinity", [True, False])
def test_zero_infinity_takes_effect(zero_infinity):
    logits = torch.randn(2, 4, 3, requires_grad=True)
    target, sizes = torch.tensor([[1, 1, 1], [1, 2, 1]]), torch.tensor([3, 3])  # 1 1 1 needs 5 frames, 1 2 1 needs 3
    losses = ctc_loss(logits, torch.tensor([4, 4]), target, sizes, blank=BLANK, zero_infinity=zero_infinity)
    assert losses[0].item() == (0.0 if zero_infinity else float("inf"))
    assert torch.isfinite(losses[1])
    losses.sum().backward()
    if zero_infinity:
        assert torch.isfinite(logits.grad).all() and (logits.grad[0] == 0).all() and (logits.grad[1] != 0).any()


def test_ctc_ignores_padded_frames_and_symbols():
    logits, sizes = torch.randn(1, 6, 4), torch.tensor([2])
    first = ctc_loss(logits, torch.tensor([4]), torch.tensor([[1, 2, 3]]), sizes, blank=0, zero_infinity=True)
    logits[:, 4:] = 30.0
    second = ctc_loss(logits, torch.tensor([4]), torch.tensor([[1, 2, 1]]), sizes, blank=0, zero_infinity=True)
    assert torch.equal(first, second)


def test_frames_that_ctc_needs_are_exactly_enough():
    target, sizes = torch.tensor([[1, 1, 1], [1, 2, 1], [1, 1, 1], [2, 2, 1]]), torch.tensor([3, 3, 1, 2])
    needed = ctc_needs_frames(target, sizes)
    assert needed.tolist() == [5, 3, 1, 3]
    assert ctc_needs_frames(torch.zeros(2, 0, dtype=torch.long), torch.tensor([0, 0])).tolist() == [0, 0]
    for row in range(4):
        for frames in (needed[row], needed[row] - 1):
            loss = ctc_loss(
                torch.randn(1, 6, 3), frames[None], target[row : row + 1], sizes[row : row + 1], blank=BLANK,
                zero_infinity=False,
            )  # fmt: skip
            assert torch.isfinite(loss).item() == (frames == needed[row]).item()
