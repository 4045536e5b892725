"""Sums of logging outputs over steps and workers, and ratios of sums as metrics."""

from __future__ import annotations

import math
from typing import Any

import torch
from fairseq.logging import metrics
from torch import Tensor

LOG2 = math.log(2)  # fairseq reports losses in bits


def total(outputs: list[dict[str, Any]], name: str):
    """Sum of an entry over the logging outputs that have it; 0 when none does."""
    values = [output[name] for output in outputs if name in output]
    if values and torch.is_tensor(values[0]):
        return torch.stack([value.detach().cpu() for value in values]).sum(0)
    return sum(values)


def log_ratio(
    outputs: list[dict[str, Any]], key: str, numerator: str, denominator: str, *, scale: float = 1.0, round: int = 3
) -> None:
    """Log numerator / denominator of the sums, weighted by the denominator.

    Nothing is logged when the denominator is 0 or no output has the numerator (a loss that the job does not compute).
    """
    if not any(numerator in output for output in outputs):
        return
    weight = float(total(outputs, denominator))
    if weight > 0:
        metrics.log_scalar(key, scale * float(total(outputs, numerator)) / weight, weight, round=round)


def log_sum(outputs: list[dict[str, Any]], name: str) -> None:
    """Keep the sum of a tensor for metrics that are derived from it; `summed` reads it, and no log shows it."""
    metrics.log_scalar(f"_{name}", total(outputs, name).double())


def summed(meters: Any, name: str) -> Tensor:
    """What `log_sum` has kept since these meters began: a log interval, an epoch, or a whole validation."""
    return torch.as_tensor(meters[f"_{name}"].sum)  # the number 0 in meters that have just been reset
