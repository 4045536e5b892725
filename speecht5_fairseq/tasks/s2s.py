"""Task of speech to speech: voice conversion and enhancement."""

from dataclasses import dataclass
from typing import Any

from fairseq.tasks import register_task

from ..data.manifest import Manifest
from ..data.s2s import S2SDataset
from ..data.speech_target import TargetOptions
from .speech_target import SpeechTargetTask, SpeechTargetTaskConfig, plain


@dataclass
class S2STaskConfig(SpeechTargetTaskConfig):
    """No options but those of every job with a speech target."""


@register_task("speecht5_s2s", dataclass=S2STaskConfig)
class S2STask(SpeechTargetTask):
    """Speech in, speech of another voice or without the noise out."""

    columns = "s2s"
    source_columns = ("path",)
    config = S2STaskConfig

    @classmethod
    def setup_task(cls, cfg: S2STaskConfig, **kwargs) -> "S2STask":
        return cls(cfg, "s2s")

    def open_text(self, split: str, saved: Any) -> None:
        return None

    def build_dataset(self, manifest: Manifest, text: None, saved: Any, options: TargetOptions) -> S2SDataset:
        return S2SDataset(manifest, **options)

    def describe(self, row: int) -> dict[str, object]:
        return super().describe(row) | {"source": plain(self.datasets[self.cfg.gen_subset].manifest.path(row))}
