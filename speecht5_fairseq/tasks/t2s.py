"""Task of text to speech: synthesis."""

import logging
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Optional

from fairseq.tasks import register_task

from ..data.errors import ManifestError
from ..data.labels import TextLabels
from ..data.manifest import Manifest
from ..data.piece_model import PieceModel
from ..data.plugin import source_file
from ..data.source_text import TEXT_ENDS, SourceText
from ..data.speech_target import TargetOptions
from ..data.t2s import T2SDataset
from ..data.text_normalisation import travelled_normaliser
from ..models.checkpoint import Start
from ..models.contents import Contents
from ..models.loading import DictionaryFiles
from ..ranges import SIZE, optional, ranged, typed
from .fingerprints import raw_line, states_of
from .speech_target import GENERATION_OPTIONS, SpeechTargetTask, SpeechTargetTaskConfig
from .vocabularies import find_pieces, find_text

logger = logging.getLogger(__name__)


@dataclass
class T2STaskConfig(SpeechTargetTaskConfig):
    spm_model: Optional[str] = field(
        default=None,
        metadata={
            "help": "sentencepiece model: the label lines are raw text; none: they are pieces with spaces between "
            "(default: in decoding what the checkpoint's run read, else none)"
        },
    )
    text_ends: Optional[str] = field(
        default=None,
        metadata={"help": f"ends of a source text: {', '.join(TEXT_ENDS)} (default: the checkpoint's, else none)"},
    )
    text_normaliser: Optional[str] = field(
        default=None,
        metadata={
            "help": "raw text to spoken words: a language (numbers as words), LANGUAGE+abbreviations, none, or "
            "MODULE:FUNCTION (default: the checkpoint's, but for a function, else none)"
        },
    )
    max_text_symbols: Optional[int] = ranged(
        None,
        "generation: cut longer texts at their sentence ends and join the speech (default: never)",
        optional(SIZE),
    )


@register_task("speecht5_t2s", dataclass=T2STaskConfig)
class T2STask(SpeechTargetTask):
    """Text in, speech out. ``label_dir`` holds ``dict.txt`` and ``{split}.txt``, one line an utterance."""

    columns = "t2s"
    source_columns = ()
    config = T2STaskConfig
    generation_options = (*GENERATION_OPTIONS, "max_text_symbols")

    @classmethod
    def setup_task(cls, cfg: T2STaskConfig, **kwargs) -> "T2STask":
        task = cls(cfg, "t2s")
        task.own_options = kwargs.get("from_checkpoint", False)
        task.text_dictionary, file = find_text(task.dictionary_file, task.contents)
        task.dictionary_files = DictionaryFiles(file)
        return task

    @cached_property
    def pieces(self) -> PieceModel | None:
        return find_pieces(self.cfg.spm_model, self.contents, own_options=self.own_options)

    def check_contents(self, contents: Contents, start: Start | None) -> None:
        """Warn besides where the texts are read otherwise than by the run that wrote the checkpoint."""
        super().check_contents(contents, start)
        for name, there in contents.text_options.items():
            here = str(getattr(self.cfg, name) or "none")
            if here != there:
                option = f"--{typed(name)}"
                logger.warning(
                    "%s is %s here, and was %s in the run of %s, whose texts the model knows: add %s %s, unless you "
                    "mean it so", option, here, there, contents.path, option, there,
                )  # fmt: skip

    def open_text(self, split: str, saved: Any) -> TextLabels:
        own, saved_name = self.cfg.text_normaliser, getattr(saved, "text_normaliser", None)
        if self.own_options:  # fairseq-validate: the checkpoint's, and nobody can tell whether it was given besides
            own, saved_name = None, own
        checkpoint = "the checkpoint" if self.contents is None else self.contents.path
        normaliser = travelled_normaliser(own, saved_name, checkpoint)
        return TextLabels.open(self.label_dir, split, self.text_dictionary, self.pieces, normaliser=normaliser)

    def build_dataset(self, manifest: Manifest, text: TextLabels, saved: Any, options: TargetOptions) -> T2SDataset:
        limit = self.cfg.max_text_symbols if self.is_generating else None
        ends = self.cfg.text_ends or getattr(saved, "text_ends", None) or "none"
        return T2SDataset(manifest, SourceText(text, ends=ends, limit=limit), **options)

    def settings(self, manifest: Manifest, text: TextLabels) -> dict:
        names = ("text_ends", "text_normaliser", "max_text_symbols")
        pieces = None if self.pieces is None else self.pieces.digest
        options = {name: getattr(self.cfg, name) for name in names}
        found = super().settings(manifest, text) | options | {"sentencepiece": pieces}
        if (function := source_file(text.normaliser)) is not None:
            found["files"] |= states_of([function])
        return found

    def describe(self, row: int) -> dict[str, object]:
        labels = self.datasets[self.cfg.gen_subset].text.labels
        try:
            said = labels.spoken(row)
        except ManifestError:  # why the row failed
            said = raw_line(labels.lines, row)
        return super().describe(row) | {"text": said}
