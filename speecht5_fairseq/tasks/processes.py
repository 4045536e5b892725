"""Several processes that train together: how many there are, and what the first does for the others."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from fairseq.distributed import utils
from torch import distributed

LONGEST_WAIT = timedelta(days=2)  # for the first process to verify the data


def process_count() -> int:
    """Processes that train together; fairseq has formed their group before it builds the model."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


@contextmanager
def first_process_first() -> Iterator[bool]:
    """The block runs in the first process, then in the others of the group; tells whether this is the first.

    The others wait in a group of their own: NCCL's gives up after ten minutes, which hours of audio take to read.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        yield True
        return
    group = distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
    first = distributed.get_rank() == 0
    if not first:
        distributed.barrier(group)
    try:
        yield first
    finally:
        if first:
            distributed.barrier(group)


def send_by_torch() -> None:
    """Have fairseq send objects to other processes as torch does.

    Its trainer reads a checkpoint in the first process and sends it to the others, which read what arrives with
    ``torch.load``; since torch 2.6 that refuses the options inside (omegaconf's), which the first process has made of
    the file's plain values. What comes from a process of the same run is no file to be wary of.
    """
    utils._broadcast_object_slow = _broadcast


def _broadcast(obj: Any, src_rank: int, group: Any, dist_device: torch.device) -> Any:
    """``obj`` of the process ``src_rank`` of the group, in all of them."""
    source = distributed.get_global_rank(group, src_rank)
    sent = [obj]
    distributed.broadcast_object_list(sent, src=source, group=group, device=dist_device)
    return sent[0]
