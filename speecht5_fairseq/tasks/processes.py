"""Several processes that train together: how many there are, and what the first does for the others."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from torch import distributed

LONGEST_WAIT = timedelta(days=2)  # for the first process to verify the data


def process_count() -> int:
    """Processes that train together; fairseq has formed their group before it builds the model."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def is_first_process() -> bool:
    """Whether this process is alone, or the first of those that train together."""
    return process_count() == 1 or distributed.get_rank() == 0


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
