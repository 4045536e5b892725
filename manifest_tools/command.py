"""What every command line shares: errors without a traceback, the option for processes."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable


def add_jobs_option(parser: argparse.ArgumentParser) -> None:
    """Add --jobs, stored as `jobs` (0: all cores)."""
    parser.add_argument("--jobs", type=int, default=0, help="processes to use (default 0: one a core)")


def run(main: Callable[[], None]) -> None:
    """Run a tool's `main`. Mistakes in data or options end with their message and exit code 1, others with a traceback.

    MANIFEST_TOOLS_TRACEBACK=1 in the environment shows the traceback of these too.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", force=True)
    try:
        main()
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        if os.environ.get("MANIFEST_TOOLS_TRACEBACK"):
            raise
        sys.exit(f"error: {error}")
