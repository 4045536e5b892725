"""What the tasks with a speech target share: options of generation, and the run of fairseq-generate."""

import logging
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum
from fairseq.utils import split_paths
from omegaconf import II

from ..data.collate import FailedItem
from ..data.file_states import file_state
from ..data.labels import TextLabels
from ..data.manifest import Manifest
from ..data.plugin import source_file
from ..data.speech_target import SpeechTargetDataset, TargetOptions
from ..generation.options import reject_unsupported
from ..generation.previews import Preview, generated_speech, teacher_forced_speech
from ..generation.results_folder import ResultsFolder, unique_names
from ..generation.source_gain import source_gain
from ..generation.speech import MAX_LENGTH_RATIO, MIN_LENGTH_RATIO, STOP_THRESHOLD, SpeechLimits
from ..generation.speech_generator import ResultLines, SpeechGenerator
from ..generation.vocoder import load_vocoder
from ..models.options import warn_without_effect
from ..ranges import ranged
from ..training.processes import process_count
from .base import SpeechT5Task
from .fingerprints import digest, plain, raw_line, states_of
from .precision import PRECISIONS, precision_field, set_precision
from .speech_options import SpeechTaskConfig, reject_processes, reject_shards, warn_of_training_limits
from .watched_epoch import WatchedEpoch

logger = logging.getLogger(__name__)

PRENET_DROPOUT = ChoiceEnum(["seeded", "off"])
NO_VOCODER = "none"
SOURCE_PHASES = "source"
GENERATION_OPTIONS = (
    "stop_threshold", "min_length_ratio", "max_length_ratio", "generation_prenet_dropout", "generation_precision",
    "vocoder", "save_pictures", "overwrite_results",
)  # fmt: skip


@dataclass
class SpeechTargetTaskConfig(SpeechTaskConfig):
    """Options of the jobs that produce speech; those below are read by fairseq-generate."""

    stop_threshold: float = ranged(
        0.5,
        "generation: stop probability of any frame of a step that ends an utterance; above 1: none does",
        STOP_THRESHOLD,
    )
    min_length_ratio: float = ranged(
        0.0, "generation: fewest mel frames for each token, or for each 20 ms of speech", MIN_LENGTH_RATIO
    )
    max_length_ratio: float = ranged(
        20.0, "generation: most mel frames for each token, or for each 20 ms of speech", MAX_LENGTH_RATIO
    )
    generation_prenet_dropout: PRENET_DROPOUT = field(
        default="seeded",
        metadata={"help": "generation: dropout of the pre-net, drawn from each utterance's seed, or off"},
    )
    generation_precision: PRECISIONS = precision_field(
        "float64, at half the speed, makes an utterance the same alone and in a batch (rounding grows by the frame)"
    )
    vocoder: str = field(
        default="griffin-lim",
        metadata={
            "help": "generation: griffin-lim[:ITERATIONS], a HiFi-GAN's folder, MODULE:FUNCTION, none (mels alone), or "
            "for enhancement source (the source's phases)"
        },
    )
    save_pictures: bool = field(default=False, metadata={"help": "generation: draw each mel and alignment as a PNG"})
    overwrite_results: bool = field(
        default=False, metadata={"help": "generation: replace the results of another run in --results-path"}
    )
    results_path: Optional[str] = II("common_eval.results_path")
    checkpoint_path: Optional[str] = II("common_eval.path")  # in checkpoints: fairseq 0.12.2 takes no unknown option
    gen_subset: str = II("dataset.gen_subset")
    model_overrides: str = II("common_eval.model_overrides")
    fp16: bool = II("common.fp16")


class SpeechTargetTask(SpeechT5Task):
    """A job with a speech target. In fairseq-generate its utterances go to OUT/<subset> (``--results-path OUT``).

    A row that is bad is written down as failed there and left out; the exit status tells of it at the end.

    Attributes:
        source_columns: path columns of the manifest that generation reads audio from; targets may be absent then.
        config: the dataclass of the task's options.
        generation_options: those that training does not read.
    """

    source_columns: tuple[str, ...]
    config: type[SpeechTargetTaskConfig]
    generation_options: tuple[str, ...] = GENERATION_OPTIONS

    def __init__(self, cfg: SpeechTargetTaskConfig, job: str) -> None:
        super().__init__(cfg, job)
        self.generator: SpeechGenerator | None = None
        self.results: ResultsFolder | None = None
        self.bad_rows: dict[int, str] = {}
        self.names: list[str] = []
        self.inputs: list[str] = []
        self.lines = ResultLines()

    @property
    def is_generating(self) -> bool:
        """Whether this is fairseq-generate: only there results have a path."""
        return self.cfg.results_path is not None

    @property
    def target_dictionary(self) -> ResultLines | None:
        """No dictionary, the target is speech; in generation, what turns hypotheses into lines of words."""
        return self.lines if self.is_generating else None

    def build_model(self, cfg, from_checkpoint: bool = False):
        if not from_checkpoint:
            why = "training does not generate: give them to fairseq-generate"
            warn_without_effect(self.cfg, self.config, self.generation_options, why)
        return super().build_model(cfg, from_checkpoint)

    def previews(self, model, shown, meters):
        """Mels, alignments and sound."""
        yield Preview("the prediction", lambda: teacher_forced_speech(model, shown))
        yield Preview("generated speech", lambda: generated_speech(model, shown))

    @abstractmethod
    def open_text(self, split: str, saved: Any) -> TextLabels | None:
        """The text labels of a split, where the job has text. ``saved``: options of the checkpoint's task, or None."""

    @abstractmethod
    def build_dataset(
        self, manifest: Manifest, text: TextLabels | None, saved: Any, options: TargetOptions
    ) -> SpeechTargetDataset:
        """The data set of a verified split."""

    def load_dataset(self, split: str, epoch: int = 1, combine: bool = False, task_cfg=None, **kwargs) -> None:
        manifest = self.open_manifest(split)
        text = self.open_text(split, task_cfg)
        options: TargetOptions = self.dataset_options(split)
        if self.is_generating:
            options |= self._what_is_left(split, manifest, text)
        else:
            self.verify(manifest, text=text)
        dataset = self.build_dataset(manifest, text, task_cfg, options)
        if self.is_generating:  # too short for an encoder frame
            self.bad_rows |= {int(row): why for why, rows in dataset.left_out.rows.items() for row in rows}
        self.datasets[split] = dataset

    def _what_is_left(self, split: str, manifest: Manifest, text: TextLabels | None) -> TargetOptions:
        """Open the folder of results; done rows and bad rows are not generated."""
        reject_shards(self.cfg)
        reject_processes(process_count())
        folder = Path(self.cfg.results_path) / split
        if folder.resolve() == manifest.root.resolve():
            raise ValueError(
                f"--results-path {self.cfg.results_path}: the recordings of {manifest.file} are in {folder}, and "
                "results would replace them; name another folder"
            )
        self.names = unique_names(str(manifest.row(row)["path"]) for row in range(len(manifest)))
        self.results = ResultsFolder(
            folder, self.settings(manifest, text), names=self.names, overwrite=self.cfg.overwrite_results
        )
        self.inputs = [self.fingerprint(manifest, text, row) for row in range(len(manifest))]
        picture = self.cfg.save_pictures
        known = zip(self.names, self.inputs, strict=True)
        done = {row for row, (name, inputs) in enumerate(known) if self.results.is_done(name, inputs, picture=picture)}
        if done:
            logger.info("%s: %d of %d utterances are there already", folder, len(done), len(manifest))
        self.bad_rows = self.examine(manifest, text=text, audio=self.source_columns).bad_rows
        without = {*done, *self.bad_rows}
        return {"with_targets": False, "tolerant": True, "without": without, "allow_left_out": True}

    def settings(self, manifest: Manifest, text: TextLabels | None) -> dict:
        """What decides all results: the checkpoint and a vocoder's files by size and time, the symbols, options."""
        paths = [Path(path) for path in split_paths(self.cfg.checkpoint_path or "")]
        states = states_of([*paths, *self._vocoder_files()])
        names = ("stop_threshold", "min_length_ratio", "max_length_ratio", "vocoder", "seed")
        options = {name: getattr(self.cfg, name) for name in names}
        options["prenet_dropout"] = str(self.cfg.generation_prenet_dropout)
        options |= {"fp16": self.cfg.fp16, "precision": str(self.cfg.generation_precision)}
        options["model_overrides"] = self.cfg.model_overrides
        symbols = self.text_dictionary.symbols if self.text_dictionary is not None else []
        return {"files": states, "dictionary": digest(symbols), **options}

    def _vocoder_files(self) -> list[Path]:
        vocoder = Path(self.cfg.vocoder)
        if vocoder.exists():
            return sorted(vocoder.rglob("*")) if vocoder.is_dir() else [vocoder]
        function = None if self.own_options else source_file(self.cfg.vocoder)
        return [] if function is None else [function]

    def fingerprint(self, manifest: Manifest, text: TextLabels | None, row: int) -> str:
        """What decides the results of one row: its text, and its source and voice by size and time."""
        columns = [*self.source_columns, "speaker"]
        files = [manifest.file_of(row, column) for column in columns]
        said = raw_line(text.lines, row) if text is not None else ""
        return digest([said, *files, *(str(file_state(file)) for file in files)])

    def build_generator(self, models, args, seq_gen_cls=None, extra_gen_cls_kwargs=None, prefix_allowed_tokens_fn=None):
        """The generator of speech, from this task's options.

        Raises:
            ValueError: no ``--results-path``, or an option of fairseq's that would have no effect.
        """
        if self.results is None:
            raise ValueError("generated speech needs a folder: give --results-path OUT")
        reject_unsupported(args, "speech")
        warn_of_training_limits(self.cfg)
        set_precision(models[0], str(self.cfg.generation_precision), fp16=self.cfg.fp16)
        self.generator = SpeechGenerator(
            limits=SpeechLimits(self.cfg.stop_threshold, self.cfg.min_length_ratio, self.cfg.max_length_ratio),
            results=self.results,
            lines=self.lines,
            vocoder=self._vocoder(models[0]),
            describe=self.describe,
            prenet_dropout=str(self.cfg.generation_prenet_dropout) == "seeded",
            pictures=self.cfg.save_pictures,
        )
        for row, problem in self.bad_rows.items():
            self.generator.fail(row, problem)
        return self.generator

    def _vocoder(self, model: Any) -> Any:
        """What ``--vocoder`` names.

        Raises:
            ValueError: ``source`` for a model that does not predict from its source; or see ``load_vocoder``.
        """
        if self.cfg.vocoder == NO_VOCODER:
            return None
        if self.cfg.vocoder != SOURCE_PHASES:
            device = next(model.parameters()).device
            return load_vocoder(self.cfg.vocoder, device, functions=not self.own_options)
        if model.speech_decoder_postnet.prediction == "mel":
            raise ValueError(
                "--vocoder source scales the source, frame by frame, which needs a model trained with "
                "--speech-prediction mask or residual; this one predicts mel frames: give griffin-lim or a HiFi-GAN"
            )
        return source_gain

    def describe(self, row: int) -> dict[str, object]:
        """What the table of results says of a manifest row: its id under "name", and some columns."""
        dataset = self.datasets[self.cfg.gen_subset]
        return {
            "name": self.names[row],
            "inputs": self.inputs[row],
            "reference": plain(dataset.reference(row)),
            "speaker": plain(dataset.manifest.file_of(row, "speaker")),
        }

    def get_batch_iterator(self, dataset, *args, **kwargs):
        """fairseq's iterator; in generation, one that also notes utterances which cannot be read, and the end."""
        if self.is_generating:
            reject_processes(kwargs.get("num_shards", 1))
        batches = super().get_batch_iterator(dataset, *args, **kwargs)
        if not self.is_generating:
            return batches
        return WatchedEpoch(batches, on_failed=self._note_failed, on_end=self.finish)

    def _note_failed(self, item: FailedItem) -> None:
        self.generator.fail(item.id, item.reason)

    def finish(self, batches: int) -> None:
        """Close the table and print the summary.

        Raises:
            SystemExit: with status 1 when utterances failed; with 0 when there was nothing to do.
        """
        self.results.close(self.names)
        print(self.generator.summary(self.cfg.gen_subset), flush=True)
        failed = len(self.results.failed)
        if failed:
            raise SystemExit(f"{failed} utterances failed; the column status of {self.results.table} says why")
        if not batches:
            raise SystemExit(0)  # fairseq would divide by the number of sentences
