"""TensorBoard's writer, under which a training goes on where its folder cannot be written."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

from fairseq.logging import progress_bar

logger = logging.getLogger(__name__)


class SteadyWriter(progress_bar.SummaryWriter or object):
    """The writer, of tensorboard or tensorboardX, that fairseq makes for each folder below ``--tensorboard-logdir``.

    Its thread ends at the first write that fails (a full disk, say), and every later call raises that error; the file
    may end in half a record, after which nothing is read. Here a call that fails begins another file and tries once
    more; then it is told of, once, and what comes within the next ``REST`` is lost: every trial begins a file.
    """

    REST = 300.0  # seconds

    def __init__(self, log_dir: str, **options: Any) -> None:
        self.folder = log_dir
        self.told = False
        self.resting = -math.inf  # until then, of time.monotonic()
        self._spared(super().__init__, log_dir, **options)

    def add_scalar(self, *arguments: Any, **options: Any) -> None:
        self._spared(super().add_scalar, *arguments, **options)

    def add_text(self, *arguments: Any, **options: Any) -> None:
        self._spared(super().add_text, *arguments, **options)

    def add_image(self, *arguments: Any, **options: Any) -> None:
        self._spared(super().add_image, *arguments, **options)

    def add_audio(self, *arguments: Any, **options: Any) -> None:
        self._spared(super().add_audio, *arguments, **options)

    def flush(self) -> None:
        self._spared(super().flush)

    def close(self) -> None:
        self._spared(super().close)

    def _spared(self, write: Callable, *arguments: Any, **options: Any) -> None:
        if time.monotonic() < self.resting:
            return
        for last in (False, True):
            try:
                write(*arguments, **options)
                return
            except OSError as error:
                self.file_writer = self.all_writers = None
                if last:
                    self.resting = time.monotonic() + self.REST
                if last and not self.told:
                    self.told = True
                    logger.warning(
                        "--tensorboard-logdir: %s cannot be written (%s); training goes on, what cannot be written is "
                        "lost, and this is not told again",
                        *(self.folder, error),
                    )
