"""What tells a recording apart from another of its name, or from itself before it changed."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from speecht5_fairseq.data.archives import file_state

_real = lru_cache(maxsize=1024)(os.path.realpath)  # of folders


class Origin(NamedTuple):
    """Where a recording lies and how it is."""

    path: str  # relative to the folder of what is made of it: data that moves together is not made again
    size: int  # bytes
    time: int  # of its last change, ns

    @classmethod
    def of(cls, audio: Path, out: Path) -> Origin | None:
        """As it is now; None where there is no such file or member of an archive."""
        state = file_state(audio)
        if state is None:
            return None
        return cls(os.path.relpath(os.path.join(_real(str(audio.parent)), audio.name), _real(str(out))), *state)
