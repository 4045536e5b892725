"""What the tasks see to around each step: that freezing, rates and changed parameters hold in fairseq's optimizers."""

from collections.abc import Iterable

from fairseq.optim import FairseqOptimizer
from fairseq.optim.fp16_optimizer import FP16Optimizer
from torch import nn

from ..models.freezing import OPTIONS as FREEZING_OPTIONS
from ..models.rates import DECAY_OPTION, FACTORS_OPTION
from ..models.speecht5 import SpeechT5Model
from ..optim.adam import FACTOR


def check_optimizer(model: SpeechT5Model, optimizer: FairseqOptimizer) -> None:
    """See to it that the learning rates by depth and name take effect.

    Raises:
        ValueError: the optimizer has one rate for all.
    """
    if not model.rates.used:
        return
    options = f"{DECAY_OPTION} and {FACTORS_OPTION}"
    if has_flat_copies(optimizer):
        raise ValueError(
            f"{options} need parameters one by one: with --fp16 add --fp16-no-flatten-grads, or use "
            "--memory-efficient-fp16"
        )
    if not all(FACTOR in group for group in optimizer.optimizer.param_groups):
        raise ValueError(
            f"{options} have no effect with this optimizer; give --optimizer speecht5_adam or speecht5_fused_adam"
        )


def spare_frozen(model: SpeechT5Model, optimizer: FairseqOptimizer) -> None:
    """See to it that fairseq's fp16 and bf16 optimizers leave frozen parameters alone.

    Their float32 copies keep a gradient of zeros, which weight decay would add to; flat copies of all parameters lose
    their order when some have no gradient.

    Raises:
        ValueError: the copies are flat.
    """
    if not (model.freezing.used and isinstance(optimizer, FP16Optimizer)):
        return
    if optimizer.has_flat_params:
        raise ValueError(
            f"{FREEZING_OPTIONS} for some updates need a gradient for each parameter of its own: "
            "with --fp16 or --bf16 add --fp16-no-flatten-grads, or use --memory-efficient-fp16 / -bf16"
        )
    for parameter, copy in zip(optimizer.fp16_params, optimizer.fp32_params, strict=True):
        if not parameter.requires_grad:
            copy.grad = None


def has_flat_copies(optimizer: FairseqOptimizer) -> bool:
    """Whether the optimizer trains float32 copies of the parameters that are one flat tensor, fairseq's default."""
    return isinstance(optimizer, FP16Optimizer) and optimizer.has_flat_params


def renew_copies(optimizer: FairseqOptimizer, parameters: Iterable[nn.Parameter]) -> None:
    """Take parameters that were changed outside a step into the float32 copies of them, if the optimizer has such."""
    if not isinstance(optimizer, FP16Optimizer):
        return
    changed = set(map(id, parameters))
    for parameter, copy in zip(optimizer.fp16_params, optimizer.fp32_params, strict=True):
        if id(parameter) in changed:
            copy.data.copy_(parameter.data)
