"""Bytes of the allocator, by hand."""

import torch

from speecht5_fairseq.plan.allocations import most_allocated


def test_bytes_come_and_go_with_tensors():
    before = torch.zeros(100_000)

    def work():
        first = torch.zeros(100_000)
        view = first[:10]
        second = first.half()
        del second
        del first
        third = torch.zeros(150_000)  # the view holds the first
        del view, third
        torch.zeros(200_000)

    assert 1_000_000 <= most_allocated(work) < 1_010_000
    assert most_allocated(lambda: before.add_(1)) < 1000


def test_what_autograd_keeps_is_in():
    weight = torch.ones(500, 500, requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    one = most_allocated(lambda: (weight * 2).sum().backward())
    two = most_allocated(lambda: (weight * 2).exp().exp().sum().backward())
    assert one < 2.1e6 and two > one + 0.9e6
