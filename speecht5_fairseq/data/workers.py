"""Loader workers are forked, and a fork inherits what its parent has thrown away and not yet collected."""

from __future__ import annotations

import gc
import os


def spare_inherited_objects() -> None:
    """From now on, forked children leave objects of their parents alone.

    Iterators of finished epochs hang in reference cycles. A worker that collects them runs their finalizers, which act
    on the workers of another process: torch prints "can only test a child process" for each.
    """
    os.register_at_fork(after_in_child=gc.freeze)
