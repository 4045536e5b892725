"""TensorBoard's writer, under which a training goes on where its folder cannot be written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fairseq.logging import progress_bar

logger = logging.getLogger(__name__)


class SteadyWriter(progress_bar.SummaryWriter or object):
    """The writer, of tensorboard or tensorboardX, that fairseq makes for each folder below ``--tensorboard-logdir``.

    Its thread ends at the first write that fails (a full disk, say), and every later call raises that error; the file
    may end in half a record, after which nothing is read. Here each call that fails begins another file and tries once
    more; then it is told of, once, and its data are lost.
    """

    def __init__(self, log_dir: str, **options: Any) -> None:
        self.folder = log_dir
        self.told = False
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
        for last in (False, True):
            try:
                write(*arguments, **options)
                return
            except OSError as error:
                self.file_writer = self.all_writers = None
                if last and not self.told:
                    self.told = True
                    logger.warning(
                        "--tensorboard-logdir: %s cannot be written (%s); training goes on, what cannot be written is "
                        "lost, and this is not told again",
                        *(self.folder, error),
                    )
