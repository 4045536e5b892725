"""The stamp that a verification leaves, so that the next start need not repeat it: `<split>.tsv.verified`."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from .atomic import atomic_text

logger = logging.getLogger(__name__)

STAMP_VERSION = 1  # raise it when the checks change, so that older stamps no longer count


class Stamp:
    """Says that some files passed some checks. It holds while their sizes and times stay; audio files are not watched.

    Args:
        manifest: the stamp lies beside it.
        files: everything the verification read but the audio: manifest, labels, dictionaries, models.
        settings: options that change what passes; JSON values.
    """

    def __init__(self, manifest: Path, files: Sequence[Path], settings: dict) -> None:
        self.path = manifest.with_name(manifest.name + ".verified")
        self.files = [manifest, *files]
        self.settings = settings

    def load(self, levels: Sequence[str]) -> dict | None:
        """What the verification stored, if it was done at one of `levels` and nothing has changed since; else None."""
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            holds = stored["checked"] == self._checked() and stored["level"] in levels
            return stored["result"] if holds else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, level: str, result: dict) -> None:
        """Write the stamp atomically. Without effect in a folder that cannot be written to."""
        content = {"checked": self._checked(), "level": level, "result": result}
        try:
            with atomic_text(self.path) as file:
                json.dump(content, file, indent=1)
                file.write("\n")
        except OSError as error:
            logger.info("no stamp %s (%s): the next start verifies again", self.path, error.strerror)

    def _checked(self) -> dict:
        states = {}
        for file in self.files:
            status = file.stat()
            states[str(file.absolute())] = [status.st_size, status.st_mtime_ns]
        return {"version": STAMP_VERSION, "files": states, "settings": self.settings}
