"""Rates and memory of GPUs by their vendors' data sheets, and of this machine by its clock."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

TERA = 1e12
ROWS = {"cpu": 2000, "cuda": 16_000}  # of the measured product: 768 by 3,072, the encoder's widest


class Device(NamedTuple):
    """What a training runs on.

    Attributes:
        title: the product that the numbers belong to.
        bytes: memory.
        rates: floating-point operations a second of dense products, by precision: "half" (float16, and bfloat16 where
            ``bfloat16`` says so; sums in float32), "tf32", "float32".
        bfloat16: whether bfloat16 is as fast as float16.
        measured: the rates are this machine's own.
    """

    title: str
    bytes: int
    rates: dict[str, float]
    bfloat16: bool = True
    measured: bool = False


def _sheet(title: str, gib: int, half: float, tf32: float, float32: float, *, bfloat16: bool = True) -> Device:
    rates = {"half": half * TERA, "tf32": tf32 * TERA, "float32": float32 * TERA}
    return Device(title, gib * 2**30, rates, bfloat16)


# Memory that programs get, GiB, rounded down: less than the name says. TFLOPS of NVIDIA's data sheets; where they tell
# rates with sparsity, half of those.
GPUS = {
    "h100": _sheet("NVIDIA H100 SXM5 80 GB", 78, 989.4, 494.7, 66.9),
    "h200": _sheet("NVIDIA H200 SXM 141 GB", 139, 989.4, 494.7, 66.9),
    "a100-80g": _sheet("NVIDIA A100 SXM4 80 GB", 78, 312.0, 156.0, 19.5),
    "a100-40g": _sheet("NVIDIA A100 SXM4 40 GB", 39, 312.0, 156.0, 19.5),
    "v100": _sheet("NVIDIA V100 SXM2 32 GB", 31, 125.0, 15.7, 15.7, bfloat16=False),
    "l40s": _sheet("NVIDIA L40S 48 GB", 44, 362.05, 183.2, 91.6),
    "rtx4090": _sheet("NVIDIA GeForce RTX 4090 24 GB", 23, 165.2, 82.6, 82.6),
}
CPU = "cpu"
NAMES = (*GPUS, CPU)


def device_named(name: str, *, dtype: torch.dtype) -> Device:
    """One of ``NAMES``; of ``cpu`` the rate of a product in ``dtype`` is measured now, with torch's threads."""
    if name != CPU:
        return GPUS[name]
    rate = product_rate("cpu", dtype)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    title = f"this machine's CPU, {torch.get_num_threads()} threads"
    return Device(title, memory, {"half": rate, "tf32": rate, "float32": rate}, measured=True)


def product_rate(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations a second in a product, the median of nine."""
    states = torch.randn(ROWS[device], 768, device=device, dtype=dtype)
    weight = torch.randn(3072, 768, device=device, dtype=dtype)
    seconds = median_seconds(lambda: torch.nn.functional.linear(states, weight), runs=9, warm_up=3)
    return 2 * states.numel() * len(weight) / seconds


def median_seconds(work: Callable[[], Any], *, runs: int, warm_up: int) -> float:
    """Of ``runs`` after ``warm_up``."""
    found = []
    for _ in range(warm_up + runs):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return statistics.median(found[warm_up:])
