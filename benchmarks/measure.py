"""Timing and peak memory of a step, the same way for every program here."""

from __future__ import annotations

import json
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version

import torch


@dataclass
class Measurement:
    """Median seconds of a step and the peak memory of its process."""

    name: str
    seconds: float  # median
    slowest: float
    fastest: float
    peak_gib: float  # of the process on CPU, of the allocator on CUDA


def measure(name: str, step: Callable[[], object], *, device: str, warm_up: int, repeats: int) -> Measurement:
    """Run ``step`` ``warm_up`` times, then time it ``repeats`` times."""
    for _ in range(warm_up):
        step()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(repeats):
        _synchronize(device)
        start = time.perf_counter()
        step()
        _synchronize(device)
        seconds.append(time.perf_counter() - start)
    return Measurement(name, statistics.median(seconds), max(seconds), min(seconds), _peak_gib(device))


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "processor": _processor(),
        "threads": str(torch.get_num_threads()),
        "gpu": gpu,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers")},
    }


def table(measurements: list[Measurement]) -> str:
    """One line a measurement."""
    head = f"{'':34}{'median s':>10}{'fastest':>10}{'slowest':>10}{'peak GiB':>10}"
    rows = [f"{m.name:34}{m.seconds:10.3f}{m.fastest:10.3f}{m.slowest:10.3f}{m.peak_gib:10.2f}" for m in measurements]
    return "\n".join([head, *rows])


def as_json(measurements: list[Measurement]) -> str:
    return json.dumps({"machine": machine(), "measurements": [asdict(m) for m in measurements]}, indent=1)


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _peak_gib(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # kilobytes on Linux


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
