"""Pictures, sound and text of a few utterances while a model trains, and the gradient norms of its nets."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import torch
from fairseq import utils
from fairseq.criterions import FairseqCriterion
from fairseq.dataclass import FairseqDataclass
from fairseq.optim import FairseqOptimizer
from fairseq.tasks import FairseqTask
from omegaconf import II
from torch import nn

from ..data.base import SpeechDataset
from ..generation.pictures import require_matplotlib
from ..generation.previews import Preview, Utterances
from ..models.options import warn_without_effect
from ..modules.randomness import kept_generators
from ..ranges import COUNT, SIZE, ranged
from .gradient_norms import GradientNorms
from .picture_targets import missing_targets, open_targets
from .processes import is_first_process

logger = logging.getLogger(__name__)

OPTION = "--picture-interval"
OPTIONS = ("picture_interval", "picture_utterances")


@dataclass
class PicturesConfig(FairseqDataclass):
    """Options of every task that trains."""

    picture_interval: int = ranged(
        0,
        "training: in the first of every N validations show the first utterances of the first valid subset (mel, "
        "alignment, sound, text, codebook) in --tensorboard-logdir or --wandb-project, and log gradient norms by net; "
        "speecht5_s2c has these norms alone (0: nothing of it)",
        COUNT,
    )
    picture_utterances: int = ranged(3, "utterances that --picture-interval shows", SIZE)
    tensorboard_logdir: Optional[str] = II("common.tensorboard_logdir")
    wandb_project: Optional[str] = II("common.wandb_project")
    valid_subset: str = II("dataset.valid_subset")
    disable_validation: bool = II("dataset.disable_validation")


class PicturedTask(FairseqTask):
    """A task whose validations show what the model makes of the same few utterances each time.

    It never ends or changes a training: whatever fails is warned of once, by name, and the global generators, the mode
    of the nets and all states are as if nothing had been drawn. Of several processes the first draws, of the model
    alone, while the others wait.
    """

    has_previews = True  # something to see beyond scalars

    def __init__(self, cfg: PicturesConfig, **kwargs: Any) -> None:
        super().__init__(cfg, **kwargs)
        self.gradient_norms = GradientNorms() if cfg.picture_interval else None
        self.validations = 0  # of this run
        self.is_first_subset = False
        self.utterances: Utterances | None = None
        self.told: set[str] = set()

    def prepare_pictures(self) -> None:
        """Say before the first update why pictures that were asked for will not come."""
        if not (self.cfg.picture_interval and self.has_previews):
            why = f"it needs {OPTION}" if self.has_previews else "there is nothing to draw of classes"
            warn_without_effect(self.cfg, PicturesConfig, ["picture_utterances"], why)
            return
        missing = missing_targets(self.cfg.tensorboard_logdir, self.cfg.wandb_project)
        try:
            require_matplotlib(OPTION)
        except ImportError as error:
            missing.append(str(error))
        if self.cfg.disable_validation:
            missing.append("they come with validations: drop --disable-validation")
        for why in missing:
            logger.warning("%s %d: no pictures; %s", OPTION, self.cfg.picture_interval, why)

    def picture_dataset(self, subset: str) -> SpeechDataset:
        """Where the utterances come from."""
        return self.datasets[subset]

    def previews(self, model: nn.Module, shown: Utterances, meters: Mapping[str, Any]) -> Iterator[Preview]:
        """What a job shows of the model in evaluation; ``meters`` are those of the validation."""
        return iter(())

    def begin_valid_epoch(self, epoch: int, model: nn.Module) -> None:
        """fairseq's, before all subsets of a validation."""
        super().begin_valid_epoch(epoch, model)
        self.is_first_subset = True
        self.validations += 1

    def post_validate(self, model: nn.Module, stats: Mapping[str, Any], meters: Mapping[str, Any]) -> None:
        """fairseq's, after each subset of a validation, before its scalars are logged."""
        first, self.is_first_subset = self.is_first_subset, False
        if not (first and self.cfg.picture_interval and self.has_previews and is_first_process()):
            return
        if (self.validations - 1) % self.cfg.picture_interval == 0:
            with self._spared("pictures"):
                self._show(model, meters, step=stats["num_updates"])

    def optimizer_step(self, optimizer: FairseqOptimizer, model: nn.Module, update_num: int) -> None:
        """fairseq's step; the gradients are measured before."""
        if self.gradient_norms is not None:
            self.gradient_norms.measure(model)
        super().optimizer_step(optimizer, model, update_num)

    def reduce_metrics(self, logging_outputs: list[dict], criterion: FairseqCriterion) -> None:
        """fairseq's sums, and in training the gradient norms."""
        super().reduce_metrics(logging_outputs, criterion)
        if self.gradient_norms is not None and criterion.training:
            self.gradient_norms.log()

    def _show(self, model: nn.Module, meters: Mapping[str, Any], *, step: int) -> None:
        subset = self.cfg.valid_subset.split(",")[0]
        targets = list(open_targets(self.cfg.tensorboard_logdir, self.cfg.wandb_project, subset))
        if not targets:
            return
        with undisturbed(model) as device:
            shown = self._utterances(subset, device, next(model.parameters()).dtype)
            for preview in self.previews(model, shown, meters):
                with self._spared(preview.name):
                    for each in preview.make():
                        for target in targets:
                            target.show(each, step)
            for target in targets:
                target.finish()
        self.utterances = self.utterances._replace(first=False)

    def _utterances(self, subset: str, device: torch.device, dtype: torch.dtype) -> Utterances:
        """Read once a run, kept on the CPU."""
        if self.utterances is None:
            dataset = self.picture_dataset(subset)
            batch = dataset.collater([dataset[row] for row in dataset.kept[: self.cfg.picture_utterances].tolist()])
            titles = [Path(place).name for place in dataset.places(batch)]  # valid.tsv:3
            self.utterances = Utterances(batch, titles, first=True)

        def moved(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)

        return self.utterances._replace(batch=utils.apply_to_sample(moved, self.utterances.batch))

    @contextmanager
    def _spared(self, name: str) -> Iterator[None]:
        """Training goes on whatever the block raises."""
        try:
            yield
        except Exception as error:  # a package, a device or a disk may raise anything
            if name not in self.told:
                self.told.add(name)
                message = "%s: %s failed (%s: %s); training goes on, and this is not told again"
                logger.warning(message, OPTION, name, type(error).__name__, error)


def warn_of_pictures(cfg: PicturesConfig) -> None:
    """Said by what decodes or generates."""
    warn_without_effect(cfg, PicturesConfig, OPTIONS, "they are for fairseq-train")


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[torch.device]:
    """A block that looks at a model in evaluation and leaves no trace in it or in the generators; gives its device."""
    device = next(model.parameters()).device
    was_training = model.training
    with kept_generators(device), torch.no_grad():
        model.eval()
        try:
            yield device
        finally:
            model.train(was_training)
