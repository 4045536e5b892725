"""What every command line shares: errors without a traceback, the options for processes and clusters."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

from speecht5_fairseq.data.paths import OPTION

from .parallel import BACKENDS, on_backend


def add_root_option(parser: argparse.ArgumentParser) -> None:
    """Add --allow-outside-root, which `Manifest.open` takes as `outside`."""
    parser.add_argument(
        OPTION,
        action="store_true",
        help="let the manifests' paths lead out of the audio root ('..', absolute): for manifests you trust",
    )


def add_jobs_option(parser: argparse.ArgumentParser) -> None:
    """Add --jobs, --backend and --scheduler, which `workers` reads."""
    parser.add_argument(
        "--jobs",
        type=int,
        default=0,
        help="processes to use, or workers of a cluster started here (default 0: one a core)",
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default=BACKENDS[0],
        help="what runs them: loky, processes of this machine (default); dask or ray, a cluster",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="a running cluster, with all its workers: tcp://HOST:8786 (dask), ray://HOST:10001 or auto (ray); "
        "default: one is started on this machine",
    )


def workers(options: dict[str, Any]) -> AbstractContextManager[int]:
    """Take the options of `add_jobs_option` out of `options`; inside the block the work runs where they say.

    The block's value is n_jobs for the tool's function.
    """
    return on_backend(options.pop("backend"), scheduler=options.pop("scheduler"), jobs=options.pop("jobs"))


def run(main: Callable[[], None]) -> None:
    """Run a tool's `main`. Mistakes in data or options end with their message and exit code 1, others with a traceback.

    SIGTERM ends it as Ctrl-C does, so that what is half written is removed; the exit code is the shell's, 143.
    MANIFEST_TOOLS_TRACEBACK=1 in the environment shows the traceback of these too.

    The `main` that runs is that of the tool's own module, not of `__main__`: processes find functions by the names of
    their modules, and `__main__` is another one there.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", force=True)
    signal.signal(signal.SIGTERM, _stop)
    try:
        _by_name(main)()
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        if os.environ.get("MANIFEST_TOOLS_TRACEBACK"):
            raise
        sys.exit(f"error: {error}")


def _by_name(main: Callable[[], None]) -> Callable[[], None]:
    """The same function of the module that `python -m` runs, imported by its name."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if main.__module__ != "__main__" or spec is None:  # a test, or a file by its path
        return main
    return getattr(importlib.import_module(spec.name), main.__name__)


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
