"""What this machine can do at best, and what a step of ours needs at the least.

    python -m benchmarks.floors                     the rates, and the floor of every training step of ours

Products are counted in the forward pass; where weights learn, the backward pass takes twice as many. The rate is that
of one product of the encoder's widest layer (2,000 rows, 768 by 3,072), the bytes a second those of a copy that fits no
cache.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .cases import CASES, Work
from .measure import DTYPES, machine

ADAM_PASSES = 7  # reads of weight, gradient and both moments; writes of weight and moments


class Rates(NamedTuple):
    flops: float  # a second, in a product
    bytes: float  # a second, read and written by a copy


def rates(device: str, dtype: torch.dtype) -> Rates:
    """Medians of nine runs each."""
    rows = 2000 if device == "cpu" else 16_000
    states, weight = torch.randn(rows, 768, device=device), torch.randn(3072, 768, device=device)
    states, weight = states.to(dtype), weight.to(dtype)
    product = _seconds(lambda: torch.nn.functional.linear(states, weight), device)
    numbers = torch.randn(1 << 26, device=device)
    other = torch.empty_like(numbers)
    copy = _seconds(lambda: other.copy_(numbers), device)
    return Rates(2 * states.numel() * len(weight) / product, 2 * numbers.numel() * 4 / copy)


def _seconds(work: Callable[[], Any], device: str) -> float:
    found = []
    for _ in range(12):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return statistics.median(found[3:])


class Flops(NamedTuple):
    """Of a forward pass."""

    still: int  # where nothing learns
    learning: int  # where weights learn

    @property
    def step(self) -> int:
        """Of a training step: the backward pass takes twice as many where weights learn."""
        return self.still + 3 * self.learning


def forward_flops(case: str, work: Work) -> Flops:
    """Of one of ``cases.CASES`` on the CPU."""
    return counted(*CASES[case]("cpu", work))


def counted(model: nn.Module, loss: Callable[[], Any]) -> Flops:
    """Of ``loss()``, whose gradient goes to ``model``'s weights but, with ``feature_grad_mult`` 0, to the extractor."""
    aten = torch.ops.aten
    in_place = {aten.addmm_: _of_product, aten.baddbmm_: _of_product}
    prenet = getattr(model, "speech_encoder_prenet", None)
    frozen = prenet is not None and prenet.feature_grad_mult == 0
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        loss()
    total, inside = counter.get_total_flops(), 0
    if frozen:
        extractor = next(name for name in counter.get_flop_counts() if name.endswith("speech_encoder_prenet.extractor"))
        inside = sum(counter.get_flop_counts()[extractor].values())
    return Flops(inside, total - inside)


def _of_product(_: Any, left: Any, right: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """Of self.addmm_(left, right) or self.baddbmm_(left, right), by their shapes."""
    *batch, rows, inner = left
    return 2 * torch.Size(batch).numel() * rows * inner * right[-1]


def step_floor(case: str, device: str, dtype: torch.dtype) -> float:
    """Seconds that a training step takes at the least: its products, and Adam's way through memory."""
    at_best = rates(device, dtype)
    model, loss = CASES[case]("cpu", Work())
    weights = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return counted(model, loss).step / at_best.flops + ADAM_PASSES * 4 * weights / at_best.bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="whose rates")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    for name in ("fp32", "bf16"):
        found = rates(options.device, DTYPES[name])
        print(f"{name}: {found.flops / 1e9:.0f} GFLOP/s in a product, {found.bytes / 1e9:.1f} GB/s in a copy")
        for case in ("pretrain_speech", "s2t", "s2t_ce", "t2s"):
            print(f"  {case:18}{step_floor(case, options.device, DTYPES[name]):8.2f} s at the least")


if __name__ == "__main__":
    main()
