"""The models of the published code by their names there, so that its checkpoints build and load as they are."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from fairseq.models import register_model, register_model_architecture

from .released_flags import add_model_flags, check_model_flags
from .released_options import config_from_released
from .released_presets import PRESETS, released_preset
from .speecht5 import SpeechT5Model

MODEL = "t5_transformer"


@register_model(MODEL)
class ReleasedSpeechT5Model(SpeechT5Model):
    """Our model, built of the published code's options."""

    @staticmethod
    def add_args(parser: Any) -> None:
        """fairseq's entry: the flags of the published model."""
        add_model_flags(parser)

    @classmethod
    def build_model(cls, cfg: Any, task: Any) -> SpeechT5Model:
        """fairseq's entry.

        Args:
            cfg: the published code's options, see ``config_from_released``.
            task: tells the job, the dictionary and the units.

        Raises:
            ValueError: a value that this code does not build.
        """
        if not task.from_checkpoint:
            check_model_flags(vars(cfg))
        return SpeechT5Model.build_from(config_from_released(cfg), task, defaults=released_preset(cfg))


def _keep(args: Namespace) -> None:
    """What fairseq asks of a preset: to fill options in. Ours are filled in when they are translated."""


for name in PRESETS:
    register_model_architecture(MODEL, name)(_keep)
