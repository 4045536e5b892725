"""The norm over an utterance's own frames: equal to GroupNorm of the utterance alone, in value and gradient."""

import torch
from torch.nn import functional as F

from speecht5_fairseq.modules.time_norm import TimeGroupNorm

CHANNELS, LENGTHS = 5, torch.tensor([9, 4, 2])


def build():
    norm = TimeGroupNorm(CHANNELS).double()
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    return norm


def states():
    return torch.randn(3, CHANNELS, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_a_row_is_group_norm_of_the_row_alone():
    norm, batch = build(), states()
    output = norm(batch, LENGTHS)
    for row, length in enumerate(LENGTHS):
        expected = F.group_norm(batch[row : row + 1, :, :length], CHANNELS, norm.weight, norm.bias)
        torch.testing.assert_close(output[row : row + 1, :, :length], expected)
        assert (output[row, :, length:] == 0).all()


def test_without_lengths_it_is_group_norm():
    norm, batch = build(), states()
    torch.testing.assert_close(norm(batch), F.group_norm(batch, CHANNELS, norm.weight, norm.bias), rtol=0, atol=0)


def test_gradients_are_finite_differences():
    norm = build()

    def run(batch, weight, bias):
        parameters = {"weight": weight, "bias": bias}
        return torch.func.functional_call(norm, parameters, (batch, LENGTHS))

    tensors = (states().requires_grad_(), norm.weight, norm.bias)
    assert torch.autograd.gradcheck(run, tensors)


def test_gradients_of_a_row_are_those_alone():
    norm, batch = build(), states()
    weight = torch.randn(batch.shape, dtype=batch.dtype, generator=torch.Generator().manual_seed(2))
    padded = batch.clone().requires_grad_()
    (norm(padded, LENGTHS) * weight).sum().backward()
    grads = norm.weight.grad.clone(), norm.bias.grad.clone()
    norm.zero_grad()
    for row, length in enumerate(LENGTHS):
        single = batch[row : row + 1, :, :length].clone().requires_grad_()
        (norm(single) * weight[row : row + 1, :, :length]).sum().backward()
        torch.testing.assert_close(padded.grad[row : row + 1, :, :length], single.grad)
        assert (padded.grad[row, :, length:] == 0).all()
    torch.testing.assert_close((norm.weight.grad, norm.bias.grad), grads)


def test_half_precision_gradients_are_summed_in_float32():
    """16,000 frames of gradient 10 are more than half precision holds."""
    norm = TimeGroupNorm(2).half()
    batch = torch.randn(2, 2, 16_000).half().requires_grad_()
    (10 * norm(batch, torch.tensor([16_000, 8_000]))).sum().backward()
    assert torch.isfinite(batch.grad).all() and torch.isfinite(norm.weight.grad).all()
