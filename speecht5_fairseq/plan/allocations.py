"""What a computation takes of memory on the CPU, by the record of torch's allocator."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

EVENT = "[memory]"  # the profiler's name of what is given out (bytes above 0) or taken back


def most_allocated(work: Callable[[], Any]) -> int:
    """Most bytes that ``work`` had at a time, workspaces of operations included; what was there before is not in."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the profiler, about cycles that it does not have here
        with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
            work()
    now = most = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == EVENT:
            now += event.nbytes()
            most = max(most, now)
    return most
