"""Losses of masked units and of the codebook."""

import pytest
import torch

from speecht5_fairseq.constants import IGNORED_LABEL
from speecht5_fairseq.losses.units import diversity_loss, unit_loss


def test_units_by_hand():
    logits, units = torch.randn(4, 3), torch.tensor([2, IGNORED_LABEL, 0, 1])
    result = unit_loss(logits, units)
    expected = -sum(logits[row].log_softmax(-1)[unit] for row, unit in ((0, 2), (2, 0), (3, 1)))
    torch.testing.assert_close(result.loss, expected)
    assert result.frames == 3
    assert result.correct == sum(int(logits[row].argmax() == unit) for row, unit in ((0, 2), (2, 0), (3, 1)))


@pytest.mark.parametrize("units", [torch.empty(0, dtype=torch.int64), torch.tensor([IGNORED_LABEL] * 2)])
def test_no_counted_frame_is_a_loss_of_zero(units):
    logits = torch.randn(len(units), 3, requires_grad=True)
    result = unit_loss(logits, units)
    result.loss.backward()
    assert (result.loss, result.frames, result.correct) == (0, 0, 0)
    assert (logits.grad == 0).all()


def test_diversity_is_zero_for_an_even_codebook_and_near_one_for_one_code():
    counts = torch.zeros(2, 100, dtype=torch.int64)
    assert diversity_loss(torch.tensor(200.0), counts) == 0
    assert diversity_loss(torch.tensor(2.0), counts).item() == pytest.approx(0.99)
    assert diversity_loss(torch.tensor(50.0), counts).item() == pytest.approx(0.75)
