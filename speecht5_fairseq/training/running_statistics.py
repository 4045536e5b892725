"""BatchNorm's running statistics: put back after a batch that does not count, and the same in all processes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from fairseq.distributed import utils as distributed_utils
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .processes import process_count


def norms_of(model: nn.Module) -> list[_BatchNorm]:
    """The parts of a model that have running statistics."""
    return [part for part in model.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]


def kept_statistics(model: nn.Module) -> Callable[[], None]:
    """A function that puts running statistics back to what they are now; not before a backward pass that reads them."""
    norms = norms_of(model)
    before = [{name: buffer.clone() for name, buffer in norm.named_buffers(recurse=False)} for norm in norms]

    def restore() -> None:
        for norm, buffers in zip(norms, before, strict=True):
            for name, buffer in norm.named_buffers(recurse=False):
                buffer.copy_(buffers[name])

    return restore


@torch.no_grad()
def average_statistics(model: nn.Module, *, moved: bool) -> None:
    """Give every process the mean of the running statistics that processes' own batches have moved.

    With those of its own alone each would validate another model, and what a run goes on with, those of the first,
    would not be what it had.

    Args:
        moved: whether a batch of this process counts in the update; all of them have the same statistics before it.
    """
    buffers: list[Tensor] = [buffer for norm in norms_of(model) for buffer in (norm.running_mean, norm.running_var)]
    if process_count() == 1 or not buffers:
        return
    count = buffers[0].new_ones(1, dtype=torch.float32)
    together = torch.cat([*(buffer.float() for buffer in buffers), count]) * moved
    distributed_utils.all_reduce(together, group=distributed_utils.get_data_parallel_group())
    *sums, movers = together.split([*(len(buffer) for buffer in buffers), 1])
    if movers:
        for buffer, total in zip(buffers, sums, strict=True):
            buffer.copy_(total / movers)
