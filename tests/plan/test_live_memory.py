"""Bytes of tensors that are alive, by hand."""

import torch

from speecht5_fairseq.plan.live_memory import LiveMemory


def test_bytes_come_and_go_with_storages():
    known = torch.zeros(100)
    with LiveMemory([known]) as memory:
        first = torch.zeros(1000)
        assert memory.now == 4000
        view = first[:10]
        known.add_(1)
        assert memory.now == 4000
        second = first.half()
        assert memory.now == memory.peak == 6000
        del second
        assert memory.now == 4000
        del first
        assert memory.now == 4000  # the view holds it
        del view
        assert memory.now == 0
        torch.zeros(500)
    assert memory.peak == 6000


def test_what_autograd_keeps_is_alive():
    weight = torch.ones(50, 50, requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    with LiveMemory([weight, weight.grad]) as memory:
        loss = (weight * 2).exp().sum()
        kept = memory.now
        loss.backward()
    assert 10_000 <= kept < 12_000  # exp's result and the loss
    assert memory.peak >= 20_000
