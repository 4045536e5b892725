"""What the tasks of all jobs share: manifests and their verification, the start, training steps."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from fairseq.data import Dictionary

from ..constants import CTC_BLANK_SYMBOL
from ..data.base import SpeechOptions
from ..data.checks import Report, verify
from ..data.classes import ClassLabels
from ..data.labels import TextLabels, UnitLabels
from ..data.manifest import JOB_COLUMNS, Manifest
from ..data.piece_model import PieceModel
from ..models.base_checkpoint import Bases
from ..models.calls import check_model
from ..models.contents import Contents, read_contents, saved_contents
from ..models.errors import CheckpointError
from ..models.jobs import JOBS, Job
from ..models.loading import UNNAMED_FILES, Start, check_file
from ..models.options import warn_without_effect
from ..models.signal_values import check_signal
from ..ranges import RangeError, check_ranges
from ..training.bad_updates import GuardedTask
from ..training.joint import merge_logs, split_parts
from ..training.kept import KeptTask
from ..training.optimizers import check_optimizer, spare_frozen
from ..training.pictures import PicturedTask, warn_of_pictures
from ..training.processes import check_launch, first_process_first, process_count
from ..training.speed import speed_up, warn_of_speed
from ..training.start import (
    check_asked,
    check_backend,
    check_sharding,
    checkpoint_folders,
    is_fine_tuning,
    log_learning,
    whole_start,
)
from .speech_options import SpeechTaskConfig
from .vocabularies import check_start, decoding_contents

OF_CHECKPOINT = "the checkpoint's run was given that: --model-overrides \"{'OPTION': VALUE}\" gives another"
START_OPTIONS = ("finetune_nets", "new_vocabulary", "new_nets")


class SpeechT5Task(PicturedTask, GuardedTask, KeptTask):
    """A job: which nets, which data. Subclasses name the job and load its data sets.

    Attributes:
        job: the nets that the model builds.
        columns: entry of ``JOB_COLUMNS`` for the manifests.
        text_dictionary: of the text side, with ``<mask>`` and ``<ctc_blank>``; None without text.
        units: k-means units that the model predicts; 0 outside pre-training. ``unit_symbols`` are their names and
            ``unit_source`` is what made them, where that is told.
        classes: the speakers that the model tells apart; none outside identification.
        step_frames: mel frames that the model predicts a step, known once it is built; 0 where it predicts no speech.
        dictionary_files: where the symbols and the units were read.
        contents: what the checkpoint to decode with holds besides weights; None in training.
        own_options: the options came with the checkpoint, and name files of whoever trained it.
        bases: frozen base checkpoints, held once for all models that this task builds.
        checkpoint_folders: of the checkpoints to decode with, where a base may stand.
        from_checkpoint: the model came with a checkpoint: fairseq-generate and fairseq-validate, which do not train.

    Raises:
        ValueError: an option out of its range, or a launch that cannot be meant.
    """

    columns: str

    def __init__(self, cfg: SpeechTaskConfig, job: str) -> None:
        check_ranges(cfg, getattr(type(self), "__dataclass"))  # noqa: B009 (fairseq's register_task sets this name)
        super().__init__(cfg)
        if cfg.path is None:
            check_launch()
            check_sharding(str(cfg.ddp_backend), str(cfg.zero_sharding), processes=process_count())
        self.job: Job = JOBS[job]
        self.text_dictionary: Dictionary | None = None
        self.units = 0
        self.unit_symbols: list[str] = []
        self.unit_source: dict[str, str] = {}
        self.classes: list[str] = []
        self.step_frames = 0
        self.dictionary_files = UNNAMED_FILES
        self.from_checkpoint = False
        self.contents = decoding_contents(cfg.path)
        self.own_options = False
        self.bases = Bases()
        self.checkpoint_folders = checkpoint_folders(cfg.path)

    @property
    def source_dictionary(self) -> None:
        return None

    @property
    def target_dictionary(self) -> Dictionary | None:
        return self.text_dictionary

    @cached_property
    def pieces(self) -> PieceModel | None:
        """The sentencepiece model that cuts raw text; None where labels are pieces, and in jobs without text labels."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """What checkpoints hold of what this run reads, so that they travel alone; see ``models.contents``."""
        return saved_contents(pieces=self.pieces, units=self.unit_symbols, unit_source=self.unit_source)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Called for each checkpoint to decode with, whose contents were read before (``contents``).

        Raises:
            CheckpointError: it was trained with other constants.
        """
        check_signal(state_dict, "the checkpoint")

    @property
    def ctc_blank(self) -> int:
        """Index of ``<ctc_blank>``."""
        return self.text_dictionary.index(CTC_BLANK_SYMBOL)

    @property
    def label_dir(self) -> Path:
        return Path(self.cfg.label_dir or self.cfg.data)

    @property
    def dictionary_file(self) -> Path:
        """dict.txt of the labels' folder, or of DATA where only that has one (as the published code wants it)."""
        beside_labels, beside_manifests = (Path(folder) / "dict.txt" for folder in (self.label_dir, self.cfg.data))
        return beside_manifests if beside_manifests.is_file() and not beside_labels.is_file() else beside_labels

    def build_model(self, cfg, from_checkpoint: bool = False):
        """The job's model; in fairseq-train, what it will be trained with and start from is checked at once.

        fairseq's trainer would say of a checkpoint that does not fit only that the architectures must match.

        Raises:
            RangeError: an option of the model is out of its range.
            CheckpointError: one that the checkpoint holds.
        """
        self.from_checkpoint = from_checkpoint
        check_model(cfg)
        try:
            model = super().build_model(cfg, from_checkpoint)
        except RangeError as error:
            if not from_checkpoint:
                raise
            raise CheckpointError(f"{error}; {OF_CHECKPOINT}") from error
        self.step_frames = 0 if model.speech_decoder_postnet is None else model.reduction_factor
        if not from_checkpoint:
            self._check_start(model)
            log_learning(model)
            speed_up(model, self.cfg)
            self.prepare_pictures()
        elif self.cfg.finetune_from_model is None:
            why = "they are for fairseq-train --finetune-from-model"
            warn_without_effect(self.cfg, SpeechTaskConfig, START_OPTIONS, why)
        if from_checkpoint and not self.own_options:
            warn_of_speed(self.cfg)
            warn_of_pictures(self.cfg)
        return model

    def _check_start(self, model) -> None:
        check_backend(
            model,
            str(self.cfg.ddp_backend),
            find_unused=self.cfg.find_unused_parameters,
            cpu=self.cfg.cpu,
            processes=process_count(),
        )
        given = self.cfg.finetune_from_model
        checkpoint = whole_start(
            save_dir=self.cfg.save_dir, restore_file=self.cfg.restore_file, finetune_from_model=given
        )
        start = Start(self.cfg.finetune_nets, self.cfg.new_vocabulary, self.cfg.new_nets)
        check_asked(start, given, model, starting=checkpoint is not None)
        if model.base is not None:
            self.check_base_contents(read_contents(Path(model.base.path)), start)
        if checkpoint is not None:
            fine_tuning = is_fine_tuning(checkpoint, save_dir=self.cfg.save_dir, finetune_from_model=given)
            asked = start if fine_tuning else None
            contents, files = read_contents(checkpoint), self.dictionary_files
            model.start = check_file(model, checkpoint, files, asked, whole=not fine_tuning)
            self.check_contents(contents, asked)
            if not fine_tuning:
                self.resume(contents)

    def check_contents(self, contents: Contents, start: Start | None) -> None:
        """Check that the run reads as that did which wrote the checkpoint that it starts from, see ``check_start``."""
        units_file = self.dictionary_files.units
        check_start(contents, start, pieces=self.pieces, units=self.unit_symbols, units_file=units_file)

    def check_base_contents(self, contents: Contents, start: Start) -> None:
        """As ``check_contents``, of what the run's ``--base-checkpoint`` learnt and keeps."""

    def resume(self, contents: Contents) -> None:
        """Called before a run goes on from a checkpoint of its own: what it needs besides what fairseq restores."""

    def open_manifest(self, split: str) -> Manifest:
        file, columns = Path(self.cfg.data) / f"{split}.tsv", JOB_COLUMNS[self.columns]
        return Manifest.open(file, columns, root=self.cfg.audio_root, outside=self.cfg.allow_outside_root)

    def verify(
        self,
        manifest: Manifest,
        *,
        text: TextLabels | None = None,
        units: UnitLabels | None = None,
        classes: ClassLabels | None = None,
    ) -> None:
        """Check the rows and labels as ``--verify-data`` says; every bad row is in the one error."""
        self.examine(manifest, text=text, units=units, classes=classes).raise_problems()

    def examine(
        self,
        manifest: Manifest,
        *,
        text: TextLabels | None = None,
        units: UnitLabels | None = None,
        classes: ClassLabels | None = None,
        audio: Sequence[str] | None = None,
    ) -> Report:
        """Check as ``verify`` does, the files of the path columns ``audio`` or all; bad rows are in the report.

        The first process checks and leaves a stamp, or its report of bad rows; both spare the others the work.
        """

        def check(first: bool) -> Report:
            return verify(
                manifest,
                text=text,
                units=units,
                classes=classes,
                audio=audio,
                level=str(self.cfg.verify_data),
                resample=not self.cfg.refuse_other_rates,
                progress=first,
            )

        return first_process_first(check, settles=lambda report: bool(report.problems))

    def is_training(self, split: str) -> bool:
        """Whether rows may be left out, drawn and shuffled; a training split that is decoded is like any other."""
        return split == self.cfg.train_subset and not self.from_checkpoint

    def dataset_options(self, split: str) -> SpeechOptions:
        """Keyword arguments of the split's speech data set; only training leaves rows out for their length."""
        training = self.is_training(split)
        return {
            "seed": self.cfg.seed,
            "training": training,
            "min_samples": self.cfg.min_speech_samples if training else None,
            "max_samples": self.cfg.max_speech_samples if training else None,
            "allow_left_out": self.cfg.allow_left_out,
            "resample": not self.cfg.refuse_other_rates,
            "step_frames": self.step_frames,
        }

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        """fairseq's step, on each part of a joint sample in turn: the graph of one is gone before the next is built."""
        check_optimizer(model, optimizer)
        model.set_num_updates(update_num)
        spare_frozen(model, optimizer)
        parts = split_parts(sample)
        results = [
            super(SpeechT5Task, self).train_step(part, model, criterion, optimizer, update_num, ignore_grad)
            for part in parts
        ]
        losses, sizes, logs = zip(*results, strict=True)
        return sum(loss.detach() for loss in losses), sum(sizes), merge_logs(logs)

    def max_positions(self) -> None:
        """No limit but the task's own min and max samples."""
        return None

    def filter_indices_by_size(
        self, indices: np.ndarray, dataset, max_positions=None, ignore_invalid_inputs: bool = False
    ) -> np.ndarray:
        """The data sets know their limits and report what they leave out."""
        return indices
