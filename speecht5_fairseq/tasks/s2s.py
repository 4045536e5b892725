"""Task of speech to speech: voice conversion and enhancement."""

from dataclasses import dataclass
from typing import Any

from fairseq.tasks import register_task

from ..data.manifest import Manifest, TextLines
from ..data.s2s import S2SDataset
from ..data.speech_target import TargetOptions
from .fingerprints import plain, raw_line
from .speech_target import SpeechTargetTask, SpeechTargetTaskConfig


@dataclass
class S2STaskConfig(SpeechTargetTaskConfig):
    """No options but those of every job with a speech target."""


@register_task("speecht5_s2s", dataclass=S2STaskConfig)
class S2STask(SpeechTargetTask):
    """Speech in, speech of another voice or without the noise out."""

    texts: TextLines | None = None

    columns = "s2s"
    source_columns = ("path",)
    config = S2STaskConfig

    @classmethod
    def setup_task(cls, cfg: S2STaskConfig, **kwargs) -> "S2STask":
        task = cls(cfg, "s2s")
        task.own_options = kwargs.get("from_checkpoint", False)
        return task

    def open_text(self, split: str, saved: Any) -> None:
        """No text is read by the model; ``{split}.txt``, where there is one, goes into the table of results."""
        path = self.label_dir / f"{split}.txt"
        self.texts = TextLines(path) if self.is_generating and path.is_file() else None

    def build_dataset(self, manifest: Manifest, text: None, saved: Any, options: TargetOptions) -> S2SDataset:
        return S2SDataset(manifest, **options)

    def describe(self, row: int) -> dict[str, object]:
        said = raw_line(self.texts, row) if self.texts is not None and row < len(self.texts) else ""
        source = plain(self.datasets[self.cfg.gen_subset].manifest.file_of(row))
        return super().describe(row) | {"source": source, "text": said}
