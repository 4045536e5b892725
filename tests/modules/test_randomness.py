"""Draws that belong to an utterance."""

import random

import numpy as np
import pytest
import torch

from speecht5_fairseq.modules.randomness import (
    Dropout,
    fresh_seeds,
    keep_mask,
    kept_generators,
    utterance_generators,
    utterance_uniform,
)

CPU = torch.device("cpu")


def test_numbers_do_not_depend_on_the_batch():
    seeds, lengths = torch.tensor([3, 4, 5]), torch.tensor([6, 2, 4])
    batch = utterance_uniform(seeds, lengths, (6, 2), stream="x")
    for row, length in enumerate(lengths.tolist()):
        alone = utterance_uniform(seeds[row : row + 1], lengths[row : row + 1], (length, 2), stream="x")
        assert torch.equal(batch[row, :length], alone[0])
        assert (batch[row, length:] == 0).all()


def test_purposes_and_seeds_have_numbers_of_their_own():
    lengths = torch.tensor([100])
    draws = [
        utterance_uniform(torch.tensor([seed]), lengths, (100,), stream=stream)
        for seed in (1, 2)
        for stream in ("x", "y")
    ]
    for i, one in enumerate(draws):
        for other in draws[i + 1 :]:
            assert abs(torch.corrcoef(torch.stack([one[0], other[0]]))[0, 1]) < 0.35


def test_the_largest_seed_is_taken():
    largest = torch.tensor([2**63 - 1])
    assert len(utterance_generators(largest, CPU, stream="x")) == 1


def test_fresh_seeds_come_from_the_global_generator():
    torch.manual_seed(5)
    first = fresh_seeds(4, CPU)
    assert len(set(first.tolist())) == 4 and not torch.equal(first, fresh_seeds(4, CPU))
    torch.manual_seed(5)
    assert torch.equal(first, fresh_seeds(4, CPU))


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_a_mask_drops_its_share(dropout):
    mask = keep_mask((3, 333_333), dropout, CPU)  # no multiple of four entries
    assert mask.dtype == torch.bool and mask.shape == (3, 333_333)
    assert abs(mask.float().mean().item() - (1 - dropout)) < 0.003
    flat = mask.flatten().float()
    assert abs((flat[1:] * flat[:-1]).mean().item() - (1 - dropout) ** 2) < 0.003  # neighbours are independent


def test_masks_follow_the_global_seed():
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(keep_mask((50,), 0.5, CPU))
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


def test_dropout_scales_what_it_keeps_and_rests_in_evaluation():
    states, dropout = torch.randn(200, 50, requires_grad=True), Dropout(0.2)
    output = dropout(states)
    kept = output != 0
    torch.testing.assert_close(output[kept], states[kept] / 0.8)
    output.sum().backward()
    torch.testing.assert_close(states.grad, kept / 0.8)
    assert torch.equal(dropout.eval()(states), states)
    assert (Dropout(1.0)(states) == 0).all()


@pytest.mark.parametrize("fails", [False, True])
def test_generators_go_on_as_if_the_block_had_drawn_nothing(fails):
    def draws():
        return torch.rand(3).tolist(), np.random.rand(), random.random()

    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = draws()
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    try:
        with kept_generators(CPU):
            torch.manual_seed(9), np.random.seed(9), draws()
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert draws() == expected
