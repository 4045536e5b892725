"""Where pictures, sound and text of a training go: the TensorBoard and W&B runs that fairseq logs its scalars in."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Protocol

from fairseq.logging import progress_bar

from ..constants import SAMPLE_RATE
from ..generation.previews import Picture, Shown, Sound


class Target(Protocol):
    """A place that shows."""

    def show(self, shown: Shown, step: int) -> None:
        """Hand on what is shown of an update ``step``."""

    def finish(self) -> None:
        """All of this update was handed on."""


class TensorBoard:
    """The writer of one tag (a subset) in ``--tensorboard-logdir``, fairseq's own: TensorBoard follows one file a run.

    Args:
        logdir: the option.
        tag: the subset, under whose name fairseq logs the scalars.
    """

    def __init__(self, logdir: str, tag: str) -> None:
        self.writer = progress_bar.TensorboardProgressBarWrapper(None, logdir)._writer(tag)

    def show(self, shown: Shown, step: int) -> None:
        if isinstance(shown, Picture):
            self.writer.add_image(shown.name, shown.pixels, step, dataformats="HWC")
        elif isinstance(shown, Sound):
            self.writer.add_audio(shown.name, shown.wave, step, sample_rate=SAMPLE_RATE)
        else:
            self.writer.add_text(shown.name, shown.text, step)

    def finish(self) -> None:
        self.writer.flush()


class WeightsAndBiases:
    """The run that fairseq has begun for ``--wandb-project``.

    Args:
        tag: the subset, whose name fairseq puts before those of its scalars.
    """

    def __init__(self, tag: str) -> None:
        self.tag = tag

    def show(self, shown: Shown, step: int) -> None:
        wandb = progress_bar.wandb
        if isinstance(shown, Picture):
            value = wandb.Image(shown.pixels)
        elif isinstance(shown, Sound):
            value = wandb.Audio(shown.wave.numpy(), sample_rate=SAMPLE_RATE)
        else:
            value = wandb.Html(f"<pre>{html.escape(shown.text)}</pre>")
        wandb.log({f"{self.tag}/{shown.name}": value}, step=step)

    def finish(self) -> None:
        """W&B sends by itself."""


def open_targets(tensorboard_logdir: str | None, wandb_project: str | None, tag: str) -> Iterator[Target]:
    """Those that the options name and whose packages are there; fairseq has warned of the others."""
    if tensorboard_logdir and progress_bar.SummaryWriter is not None:
        yield TensorBoard(tensorboard_logdir, tag)
    if wandb_project and progress_bar.wandb is not None and progress_bar.wandb.run is not None:
        yield WeightsAndBiases(tag)


def missing_targets(tensorboard_logdir: str | None, wandb_project: str | None) -> list[str]:
    """Why nothing can be shown where it was asked for, each with its mend."""
    if not (tensorboard_logdir or wandb_project):
        return ["there is nowhere to show them: add --tensorboard-logdir FOLDER or --wandb-project NAME"]
    missing = []
    if tensorboard_logdir and progress_bar.SummaryWriter is None:
        missing.append("--tensorboard-logdir needs tensorboard: `pip install tensorboard`")
    if wandb_project and progress_bar.wandb is None:
        missing.append("--wandb-project needs wandb: `pip install wandb`")
    return missing
