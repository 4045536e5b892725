"""One training step on few rows, counted: its products, and the memory above weights and gradients.

Every row of a part has the same length, so that products grow with the rows, and memory in a straight line: counts of
one row and of two give both for any number.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from fairseq.criterions import FairseqCriterion, build_criterion
from fairseq.data import Dictionary
from fairseq.models import MODEL_REGISTRY
from fairseq.utils import apply_to_sample
from omegaconf import DictConfig
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..constants import CTC_BLANK_SYMBOL, MASK_SYMBOL
from ..data.dictionary import dictionary_of
from ..models.base_checkpoint import Bases
from ..models.jobs import JOBS, Job
from ..models.loading import UNNAMED_FILES
from ..models.parts import net_of
from ..models.speecht5 import SpeechT5Model
from ..modules.long_convolution import takes_less
from .allocations import most_allocated
from .batches import PARTS, Batch, Part, Sizes

PASSES = 3  # a product, and one for each of its two gradients


class StandIn:
    """What the model and the criterion ask of a task, without its data."""

    from_checkpoint = False
    checkpoint_folders: Sequence[Path] = ()
    dictionary_files = UNNAMED_FILES

    def __init__(self, job: str, sizes: Sizes) -> None:
        self.job: Job = JOBS[job]
        self.bases = Bases()
        self.units = sizes.units if "units" in self.job.heads else 0
        self.classes = [f"class{number}" for number in range(sizes.classes)] if "speaker" in self.job.heads else []
        self.text_dictionary = _dictionary(sizes.symbols) if self.job.has_text else None

    @property
    def target_dictionary(self) -> Dictionary | None:
        return self.text_dictionary

    @property
    def ctc_blank(self) -> int:
        return self.text_dictionary.index(CTC_BLANK_SYMBOL)


def _dictionary(symbols: int) -> Dictionary:
    own = symbols - Dictionary().nspecial - 2
    return dictionary_of([*(f"symbol{number}" for number in range(own)), MASK_SYMBOL, CTC_BLANK_SYMBOL])


class Counted(NamedTuple):
    """Of one part of a step; of ``rows`` rows by straight lines."""

    flops: int  # of a row, forward and backward
    bytes: int  # most above weights and gradients, of the first row
    more_bytes: int  # of each further

    def flops_of(self, rows: int) -> int:
        return self.flops * rows

    def bytes_of(self, rows: int) -> int:
        return self.bytes + self.more_bytes * (rows - 1)


class Trained(NamedTuple):
    """Of a net: all of its parameters, and those that learn."""

    net: str
    parameters: int
    learning: int


class Built(NamedTuple):
    """A training's model and loss."""

    model: SpeechT5Model
    criterion: FairseqCriterion
    half: bool
    autocast: bool


def build(cfg: DictConfig, job: str, sizes: Sizes) -> Built:
    """The model as fairseq-train builds it, with all of its layers in every update.

    Layers that ``--encoder-layerdrop`` skips are counted: a step takes at most what is told.
    """
    task = StandIn(job, sizes)
    options = cfg.model.copy()
    options.encoder_layerdrop = options.decoder_layerdrop = 0.0
    kind = MODEL_REGISTRY[cfg.model._name]
    model = kind.build_model(options, task).train()
    half = cfg.common.fp16 or cfg.common.bf16
    if half:
        model.bfloat16()  # as many bytes as float16, and a CPU has every operation
    return Built(model, build_criterion(cfg.criterion, task), half, cfg.common.amp)


def parameters(model: SpeechT5Model) -> list[Trained]:
    """By net, a tied parameter in the first that has it."""
    counts: dict[str, list[int]] = {}
    for name, parameter in model.named_parameters():
        counted = counts.setdefault(net_of(name), [0, 0])
        counted[0] += parameter.numel()
        counted[1] += parameter.numel() if parameter.requires_grad else 0
    return [Trained(net, *counted) for net, counted in counts.items()]


def count(built: Built, part: Part, sizes: Sizes) -> Counted:
    """The products of one row, and what the allocator gave out for one and for two."""
    torch.manual_seed(0)
    for parameter in built.model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    one, two = (_bytes_of(built, part.batch(rows, sizes)) for rows in (1, 2))
    return Counted(flops_of(built, part.batch(1, sizes)), one, two - one)


def _bytes_of(built: Built, batch: Batch) -> int:
    batch = prepared(built, batch)
    return most_allocated(lambda: run(built, batch)) + _bytes(batch)


def flops_of(built: Built, batch: Batch) -> int:
    """Of products and convolutions in a step of these rows on the CPU."""
    batch, transforms = prepared(built, batch), _Transforms(built.model)
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter, transforms:
        run(built, batch)
    return counter.get_total_flops() + transforms.flops


def prepared(built: Built, batch: Batch) -> Batch:
    """The batch in the model's precision, as fairseq's trainer hands it over."""
    if not built.half:
        return batch
    return apply_to_sample(lambda each: each.bfloat16() if each.dtype == torch.float32 else each, batch)


def run(built: Built, batch: Batch) -> None:
    """Loss and gradients."""
    built.model.set_num_updates(0)
    with torch.autocast(_device(built), torch.bfloat16) if built.autocast else nullcontext():
        loss, _, _ = built.criterion(built.model, batch)
    loss.backward()


def _device(built: Built) -> str:
    return next(built.model.parameters()).device.type


def _bytes(batch: Any) -> int:
    found = []
    apply_to_sample(lambda tensor: found.append(tensor.numel() * tensor.element_size()), batch)
    return sum(found)


def _product(_: Any, left: Any, right: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """Of self.addmm_(left, right) or self.baddbmm_(left, right), by their shapes."""
    *batch, rows, inner = left
    return 2 * torch.Size(batch).numel() * rows * inner * right[-1]


# torch's counter knows the products that make a tensor, and not those that add to one.
IN_PLACE = {torch.ops.aten.addmm_: _product, torch.ops.aten.baddbmm_: _product}


class _Transforms:
    """Counts as products what the position convolution does by Fourier transforms on a CPU, and a GPU by products."""

    def __init__(self, model: SpeechT5Model) -> None:
        self.flops = 0
        self.convolution = None if model.speech_encoder_prenet is None else model.speech_encoder_prenet.position_conv

    def __enter__(self) -> None:
        if self.convolution is not None:
            self.handle = self.convolution.register_forward_pre_hook(self._note)

    def __exit__(self, *_: object) -> None:
        if self.convolution is not None:
            self.handle.remove()

    def _note(self, module: Any, inputs: tuple[Tensor]) -> None:
        conv, states = module.conv, inputs[0].transpose(1, 2)  # (B, D, T)
        if takes_less(states, conv.kernel_size[0]):
            frames = states.size(0) * (states.size(2) + module.extra)
            once = 2 * frames * conv.out_channels * (conv.in_channels // conv.groups) * conv.kernel_size[0]
            self.flops += once * (PASSES if conv.bias.requires_grad else 1)


def parts_of(job: str) -> tuple[Part, ...]:
    return PARTS[job]
