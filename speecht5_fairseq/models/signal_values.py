"""The signal that a model was trained with: audio, mel frames and speaker vectors, which are constants here.

A checkpoint holds their values; one that was trained with others would decode to nonsense, and is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import constants
from .errors import CheckpointError

KEY = "signal"  # in a checkpoint's task state
NAMES = (
    "SAMPLE_RATE", "ENCODER_STRIDE", "MEL_BINS", "MEL_WINDOW", "MEL_HOP", "MEL_MIN_HZ", "MEL_MAX_HZ", "MEL_FLOOR",
    "SPEAKER_DIM",
)  # fmt: skip
SIGNAL: dict[str, int | float] = {name: getattr(constants, name) for name in NAMES}


def check_signal(task_state: Mapping[str, Any] | None, name: str) -> None:
    """Check that a checkpoint was trained with the values of ``constants.py``; one that does not tell passes.

    Args:
        name: says which checkpoint, in errors.

    Raises:
        CheckpointError: names what is another.
    """
    told = (task_state or {}).get(KEY) or {}
    differing = [key for key, value in told.items() if value != SIGNAL.get(key)]
    if differing:
        others = [f"{str(key)[:80]} {str(told[key])[:80]}, here {SIGNAL.get(key, 'unknown')}" for key in differing]
        raise CheckpointError(
            f"{name}: trained with another signal ({'; '.join(others)}); give a checkpoint trained with the values of "
            "constants.py, or use the version of this code that wrote it"
        )
