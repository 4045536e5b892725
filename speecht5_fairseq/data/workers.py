"""Loader workers are forked: a fork inherits its parent's garbage, and gets the signals that are sent to all."""

from __future__ import annotations

import gc
import os
import signal
import threading


def spare_inherited_objects() -> None:
    """From now on, forked children leave objects of their parents alone.

    Iterators of finished epochs hang in reference cycles. A worker that collects them runs their finalizers, which act
    on the workers of another process: torch prints "can only test a child process" for each.
    """
    os.register_at_fork(after_in_child=gc.freeze)


def end_with_parents_alone() -> None:
    """From now on, forked children end with a SIGTERM of their parent, and not with that of a scheduler or Ctrl-C.

    Schedulers send it to every process of a job, as terminals do with SIGINT. The parent goes on to the end of its
    update and saves; without its workers it would fail before. Workers whose parent is gone end by themselves (torch
    watches that).
    """
    os.register_at_fork(after_in_child=_listen_to_parent)


def _listen_to_parent() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    threading.Thread(target=_wait_for_parent, args=(os.getppid(),), daemon=True).start()


def _wait_for_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(128 + signal.SIGTERM)
