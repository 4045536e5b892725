"""Task of speech to class: identification of speakers, and their embeddings for verification."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from fairseq.tasks import register_task
from omegaconf import II

from ..constants import SAMPLE_RATE
from ..data.classes import ClassLabels
from ..data.s2c import S2CDataset
from ..generation.classes import ClassGenerator, Utterance
from ..generation.options import reject_unsupported
from ..generation.results_folder import unique_names
from ..generation.speech_generator import ResultLines
from ..models.loading import DictionaryFiles
from ..models.options import warn_without_effect
from ..ranges import SIZE, ranged
from .base import SpeechT5Task
from .speech_options import SpeechTaskConfig, reject_shards, warn_of_training_limits
from .vocabularies import find_classes
from .watched_epoch import WatchedEpoch

CROP_SECONDS = 3.2  # the published recipe's


@dataclass
class S2CTaskConfig(SpeechTaskConfig):
    crop_samples: int = ranged(
        round(CROP_SECONDS * SAMPLE_RATE),
        "training: longest stretch of an utterance, in samples; evaluation takes all of it",
        SIZE,
    )
    unlabelled: bool = field(default=False, metadata={"help": "generation: classify speech of unknown class"})
    top_classes: int = ranged(1, "generation: classes named for each utterance", SIZE)
    save_embeddings: bool = field(
        default=False, metadata={"help": "generation: write each utterance's embedding (.npy) to --results-path"}
    )
    results_path: Optional[str] = II("common_eval.results_path")
    gen_subset: str = II("dataset.gen_subset")
    distributed_world_size: int = II("distributed_training.distributed_world_size")


@register_task("speecht5_s2c", dataclass=S2CTaskConfig)
class S2CTask(SpeechT5Task):
    """Speech in, a class out: the manifest's third column. ``label_dir`` holds ``dict.txt``, one line a class."""

    columns = "s2c"
    has_previews = False

    def __init__(self, cfg: S2CTaskConfig, job: str) -> None:
        super().__init__(cfg, job)
        self.lines = ResultLines()
        self.names: list[str] = []
        self.generator: ClassGenerator | None = None

    @classmethod
    def setup_task(cls, cfg: S2CTaskConfig, **kwargs) -> "S2CTask":
        task = cls(cfg, "s2c")
        task.own_options = kwargs.get("from_checkpoint", False)
        task.classes, file = find_classes(task.dictionary_file, task.contents)
        task.dictionary_files = DictionaryFiles(classes=file)
        return task

    @property
    def target_dictionary(self) -> ResultLines:
        """No dictionary, the target is a class: what turns the hypotheses of generation into lines of words."""
        return self.lines

    def build_model(self, cfg, from_checkpoint: bool = False):
        if not from_checkpoint:
            why = "training does not generate: give them to fairseq-generate"
            warn_without_effect(self.cfg, S2CTaskConfig, ("top_classes", "save_embeddings"), why)
        return super().build_model(cfg, from_checkpoint)

    def load_dataset(self, split: str, epoch: int = 1, combine: bool = False, task_cfg=None, **kwargs) -> None:
        """Open and verify a split.

        Raises:
            ValueError: training without classes.
            DataError: see ``SpeechT5Task.verify`` and ``S2CDataset``.
        """
        if self.cfg.unlabelled and self.is_training(split):
            raise ValueError("--unlabelled is for generation, and training needs classes: drop --unlabelled")
        manifest = self.open_manifest(split)
        labels = None
        if not self.cfg.unlabelled:
            labels = ClassLabels(manifest, self.classes, Path(self.dictionary_files.classes))
        self.verify(manifest, classes=labels)
        options = self.dataset_options(split)
        self.datasets[split] = S2CDataset(manifest, labels, crop_samples=self.cfg.crop_samples, **options)

    def build_generator(self, models, args, seq_gen_cls=None, extra_gen_cls_kwargs=None, prefix_allowed_tokens_fn=None):
        """The generator of classes, from this task's options.

        Raises:
            ValueError: an option that would have no effect.
        """
        reject_unsupported(args, "class")
        reject_shards(self.cfg)
        warn_of_training_limits(self.cfg)
        warn_without_effect(self.cfg, S2CTaskConfig, ["crop_samples"], "only training crops")
        if self.cfg.save_embeddings and self.cfg.results_path is None:
            raise ValueError("--save-embeddings needs a folder: give --results-path OUT")
        if self.cfg.distributed_world_size > 1:
            raise ValueError(
                f"--distributed-world-size {self.cfg.distributed_world_size} would classify a part of the split and "
                "call it whole: use one process"
            )
        manifest = self.datasets[self.cfg.gen_subset].manifest
        self.names = unique_names(str(manifest.row(row)["path"]) for row in range(len(manifest)))
        self.generator = ClassGenerator(
            names=self.classes,
            describe=self.describe,
            lines=self.lines,
            top=self.cfg.top_classes,
            folder=None if self.cfg.results_path is None else Path(self.cfg.results_path) / self.cfg.gen_subset,
            save_embeddings=self.cfg.save_embeddings,
        )
        return self.generator

    def describe(self, row: int) -> Utterance:
        """What the results say of a manifest row."""
        data = self.datasets[self.cfg.gen_subset]
        label = None if data.labels is None else data.labels.name(row)
        return Utterance(self.names[row], str(data.manifest.row(row)["path"]), label)

    def get_batch_iterator(self, dataset, *args, **kwargs):
        """fairseq's iterator; in generation, one that also notes its end."""
        batches = super().get_batch_iterator(dataset, *args, **kwargs)
        if not self.from_checkpoint:
            return batches
        return WatchedEpoch(batches, on_failed=_never, on_end=self.finish)

    def finish(self, batches: int) -> None:
        """Write the table and print the summary of fairseq-generate; fairseq-validate has neither."""
        if self.generator is not None:
            print(self.generator.close(self.cfg.gen_subset), flush=True)


def _never(item: object) -> None:
    raise AssertionError(f"{item}: a bad row ends the run before its first batch")
