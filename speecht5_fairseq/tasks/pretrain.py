"""Task of joint pre-training on unlabelled speech and text."""

import logging
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Optional

from fairseq.criterions import FairseqCriterion
from fairseq.dataclass import ChoiceEnum
from fairseq.tasks import register_task

from ..constants import ENCODER_FRAME_RATE
from ..criterions.logging import summed
from ..data.dictionary import Vocabulary, own_symbols, unit_count
from ..data.infilling import SPAN
from ..data.interleave import JointPretrainDataset
from ..data.labels import UnitLabels
from ..data.pretrain_speech import PretrainSpeechDataset
from ..data.pretrain_text import BREAK_MODES, TEXT_TOKENS, PretrainTextDataset, open_text_binary
from ..data.text_checks import check_text_binary
from ..data.unit_record import RECORD, UnitRecord, check_record, read_record
from ..generation.previews import Preview, codebook_use, teacher_forced_speech
from ..models.contents import Contents, saved_codes
from ..models.loading import DictionaryFiles, Start
from ..models.options import warn_without_effect
from ..ranges import POSITIVE, SHARE, SIZE, ranged
from ..training.code_revival import CodeRevival
from ..training.codebook import CodebookConfig, CodebookWatch
from .base import SpeechT5Task
from .speech_options import SpeechTaskConfig
from .vocabularies import check_unit_source, find_text, find_units, takes_units

logger = logging.getLogger(__name__)
TEXT_BREAKS = ChoiceEnum(list(BREAK_MODES))
TEXT_OPTIONS = (
    "tokens_per_text_sample", "text_break", "text_batch_ratio", "infilling_ratio", "infilling_span", "infilling_random"
)  # fmt: skip


@dataclass
class PretrainTaskConfig(CodebookConfig, SpeechTaskConfig):
    unit_rate: int = ranged(ENCODER_FRAME_RATE, "units a second in {split}.km", SIZE)
    allow_other_units: bool = field(
        default=False,
        metadata={
            "help": "take a checkpoint that learnt the units of another k-means model (units.json) of the same number"
        },
    )
    crop_samples: int = ranged(250_000, "longest crop of an utterance, in samples", SIZE)
    text_data: Optional[str] = field(
        default=None, metadata={"help": "folder of the text: fairseq-preprocess binary and dict.txt (default: no text)"}
    )
    tokens_per_text_sample: int = ranged(512, "most tokens of a text, <s> and </s> counted", TEXT_TOKENS)
    text_break: TEXT_BREAKS = field(
        default="sentence", metadata={"help": "a text is one sentence, or as many complete ones as fit"}
    )
    text_batch_ratio: float = ranged(
        0.0086, "tokens of text in a batch, as a share of --max-tokens (samples of speech)", POSITIVE
    )
    infilling_ratio: float = ranged(0.3, "share of the tokens that infilling masks", SHARE)
    infilling_span: float = ranged(3.5, "mean tokens of a masked span (Poisson)", SPAN)
    infilling_random: float = ranged(0.1, "share of the masks that become a random token", SHARE)


@register_task("speecht5_pretrain", dataclass=PretrainTaskConfig)
class PretrainTask(SpeechT5Task):
    """Speech with units (``{split}.tsv``, ``{split}.km``, ``dict.km.txt``) and, where given, text.

    Without ``--text-data`` only the speech nets are built.
    """

    columns = "pretrain"
    unit_vocabulary: Vocabulary
    unit_record: UnitRecord | None = None
    other_units = False  # of the checkpoint that the run starts from, let pass by --allow-other-units

    def __init__(self, cfg: PretrainTaskConfig, job: str) -> None:
        super().__init__(cfg, job)
        self.codebook = CodebookWatch(
            bound=self.cfg.codebook_perplexity_bound, updates=self.cfg.codebook_perplexity_updates
        )
        self.revival = CodeRevival(updates=self.cfg.revive_codes, seed=self.cfg.seed)

    @classmethod
    def setup_task(cls, cfg: PretrainTaskConfig, **kwargs) -> "PretrainTask":
        task = cls(cfg, "pretrain_speech" if cfg.text_data is None else "pretrain")
        task.own_options = kwargs.get("from_checkpoint", False)
        task.unit_vocabulary = find_units(task.label_dir / "dict.km.txt", task.contents)
        task.unit_symbols = own_symbols(task.unit_vocabulary.dictionary)
        task.units = unit_count(task.unit_vocabulary.dictionary)
        task.dictionary_files = DictionaryFiles(units=task.unit_vocabulary.file)
        task.read_unit_record()
        if cfg.text_data is None:
            warn_without_effect(cfg, PretrainTaskConfig, TEXT_OPTIONS, "they need --text-data")
        else:
            task.text_dictionary, file = find_text(Path(cfg.text_data) / "dict.txt", task.contents)
            task.dictionary_files = task.dictionary_files._replace(text=file)
        return task

    def read_unit_record(self) -> None:
        """Read what ``units.json`` says of the labels, and check that the run reads them so.

        Raises:
            DataError: see ``read_record`` and ``check_record``.
        """
        self.unit_record = read_record(self.label_dir)
        if self.unit_record is not None:
            file = self.unit_vocabulary.file
            check_record(self.unit_record, units=self.units, rate=self.cfg.unit_rate, dictionary=file)
            self.unit_source = self.unit_record.source
        elif self.contents is None:
            logger.info("no %s: nothing tells what made the units", self.label_dir / RECORD)

    def check_contents(self, contents: Contents, start: Start | None) -> None:
        """As of every job, and the units must be of one k-means model, see ``check_unit_source``."""
        super().check_contents(contents, start)
        self._check_units(contents, start)

    def check_base_contents(self, contents: Contents, start: Start) -> None:
        """The units must be of the k-means model whose units the base's unit head has learnt."""
        self._check_units(contents, start)

    def _check_units(self, contents: Contents, start: Start | None) -> None:
        allowed = self.cfg.allow_other_units
        self.other_units |= check_unit_source(contents, start, self.unit_record, allowed=allowed)
        if self.unit_record is None and takes_units(start):  # what the model learnt stays known
            self.unit_source = contents.unit_source

    def build_model(self, cfg, from_checkpoint: bool = False):
        """The job's model; options of a codebook, and of a start from other units, need these."""
        model = super().build_model(cfg, from_checkpoint)
        if model.quantizer is None:
            names = [option.name for option in fields(CodebookConfig) if not option.name.startswith("_")]
            warn_without_effect(self.cfg, PretrainTaskConfig, names, "they need --codebook-prob above 0")
        elif not any(parameter.requires_grad for parameter in model.quantizer.parameters()):
            warn_without_effect(self.cfg, PretrainTaskConfig, ("revive_codes",), "the codebook never learns")
        if not (from_checkpoint or self.other_units):
            why = "no checkpoint is taken that is known to have learnt other units"
            warn_without_effect(self.cfg, PretrainTaskConfig, ("allow_other_units",), why)
        return model

    def state_dict(self) -> dict[str, Any]:
        """What all jobs save, and how long each code was not chosen."""
        return super().state_dict() | saved_codes(self.revival.unchosen)

    def resume(self, contents: Contents) -> None:
        """Go on with the counts of the checkpoint."""
        self.revival.unchosen = contents.unchosen_codes if self.cfg.revive_codes else None

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        """The step of all jobs, whose codes are counted."""
        self.revival.prepare(model, optimizer)
        loss, size, log = super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)
        if not ignore_grad:
            self.revival.note(log)
        return loss, size, log

    def begin_update(self, model) -> None:
        """As of all jobs; codes too are counted anew."""
        super().begin_update(model)
        self.revival.begin_update(model)

    def optimizer_step(self, optimizer, model, update_num: int) -> None:
        """The step of all jobs; codes that were not chosen for long follow it."""
        super().optimizer_step(optimizer, model, update_num)
        self.revival.finish_update(model, optimizer, update_num)

    def picture_dataset(self, subset: str) -> PretrainSpeechDataset:
        """The speech."""
        return self.datasets[subset].speech

    def previews(self, model, shown, meters):
        """The reconstruction, and which codes the whole validation chose."""
        yield Preview("the reconstruction", lambda: teacher_forced_speech(model, shown))
        if model.quantizer is not None:
            text = summed(meters, "codes_text") if self.text_dictionary is not None else None
            yield Preview("the codebook", lambda: codebook_use(summed(meters, "codes_speech"), text))

    def reduce_metrics(self, logging_outputs: list[dict], criterion: FairseqCriterion) -> None:
        """fairseq's sums; in training the codes are watched."""
        super().reduce_metrics(logging_outputs, criterion)
        if criterion.training:
            self.codebook.note(logging_outputs)

    def load_dataset(self, split: str, epoch: int = 1, combine: bool = False, task_cfg=None, **kwargs) -> None:
        """Open and verify a split: "NAME" of speech and of text, or "SPEECH|TEXT" where their names differ."""
        speech_split, _, text_split = split.partition("|")
        manifest = self.open_manifest(speech_split)
        labels = UnitLabels.open(self.label_dir, speech_split, rate=self.cfg.unit_rate, vocabulary=self.unit_vocabulary)
        self.verify(manifest, units=labels)
        options = self.dataset_options(split)
        speech = PretrainSpeechDataset(manifest, labels, crop_samples=self.cfg.crop_samples, **options)
        self.datasets[split] = JointPretrainDataset(
            speech,
            self._open_text(text_split or split, training=self.is_training(split)),
            seed=self.cfg.seed,
            text_batch_ratio=self.cfg.text_batch_ratio,
            cycle_text=self.is_training(split),
        )

    def _open_text(self, split: str, *, training: bool) -> PretrainTextDataset | None:
        if self.cfg.text_data is None:
            return None
        name = f"{self.cfg.text_data}/{split}"
        binary = open_text_binary(self.cfg.text_data, split, self.text_dictionary)
        if str(self.cfg.verify_data) != "off":
            check_text_binary(binary, self.text_dictionary, level=str(self.cfg.verify_data), name=name)
        return PretrainTextDataset(
            binary,
            self.text_dictionary,
            name=name,
            seed=self.cfg.seed,
            training=training,
            tokens_per_text_sample=self.cfg.tokens_per_text_sample,
            break_mode=str(self.cfg.text_break),
            ratio=self.cfg.infilling_ratio,
            mean_span=self.cfg.infilling_span,
            random_ratio=self.cfg.infilling_random,
        )
