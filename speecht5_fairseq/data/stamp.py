"""The stamp that a verification leaves, so that the next start need not repeat it: `<split>.tsv.verified`."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from .atomic import atomic_text

logger = logging.getLogger(__name__)

STAMP_VERSION = 4  # raise it when the checks change, so that older stamps no longer count


class Stamp:
    """Says that some files passed some checks. It holds while their sizes and times stay.

    Args:
        manifest: the stamp lies beside it.
        files: everything the verification read but what the rows name: manifest, labels, dictionaries, models.
        settings: options that change what passes; JSON values.
        rows: a digest of the sizes and times of the files that the rows name, for each level of verification whose
            rows are known.
    """

    def __init__(self, manifest: Path, files: Sequence[Path], settings: dict, rows: dict[str, str]) -> None:
        self.path = manifest.with_name(manifest.name + ".verified")
        self.files = [manifest, *files]
        self.settings = settings
        self.rows = rows

    def load(self, level: str, levels: Sequence[str], names: Sequence[str]) -> dict | None:
        """What a verification at one of `levels` stored under `names`, where no file that `level` reads has changed.

        None else, and where the file is damaged.
        """
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            if stored["checked"] != self._checked() or stored["level"] not in levels:
                return None
            if stored["rows"][level] != self.rows[level]:
                logger.info("%s: audio or speaker vectors have changed: verified again", self.path)
                return None
            return stored["result"] if stored["result"].keys() == set(names) else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def save(self, level: str, result: dict) -> None:
        """Write the stamp atomically. Without effect in a folder that cannot be written to."""
        content = {"checked": self._checked(), "level": level, "rows": self.rows, "result": result}
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
