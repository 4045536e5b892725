"""The error of a checkpoint that cannot be used, and lists of names in its message."""

from __future__ import annotations

from collections.abc import Iterable

# The mend of a dictionary that does not fit.
HELD = (
    "decoding without any takes it from the checkpoint, and `python -m speecht5_fairseq.inspect CHECKPOINT --extract "
    "FOLDER` writes it"
)
_LISTED = 8  # names shown in a message before "and N more"


class CheckpointError(ValueError):
    """A checkpoint that does not fit the model."""


def listed(names: Iterable[str]) -> str:
    """The first names in alphabetical order, and how many more there are."""
    return shortened(sorted(names))


def shortened(names: list[str]) -> str:
    """The first names in their own order, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
