"""What the tasks see to before each step: that freezing and rates of their own take effect in fairseq's optimizers."""

from fairseq.optim import FairseqOptimizer
from fairseq.optim.fp16_optimizer import FP16Optimizer

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
    if isinstance(optimizer, FP16Optimizer) and optimizer.has_flat_params:
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
