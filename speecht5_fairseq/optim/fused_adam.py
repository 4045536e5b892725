"""fairseq's Adam with torch's fused step: all parameters of a group in one pass over memory.

fairseq's goes through the parameters one by one, and for each seven or eight times through memory. The numbers are the
same but for rounding, and so is the state: a run may go on with either.
"""

from ast import literal_eval
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.optim import FairseqOptimizer, register_optimizer
from fairseq.optim.adam import Adam, FairseqAdam
from omegaconf import II
from torch import Tensor, nn
from torch.optim.adamw import adamw

from ..ranges import WEIGHT, check_ranges, ranged
from .adam import SpeechT5Adam, grouped

HALF = (torch.float16, torch.bfloat16)
TOGETHER = 1 << 24  # most half-precision numbers at a time: their float32 copies take 128 MiB


@dataclass
class SpeechT5FusedAdamConfig(FairseqDataclass):
    """The options of fairseq's Adam that have an effect here."""

    adam_betas: Any = field(default=(0.9, 0.999), metadata={"help": "decay of both moments: '(0.9, 0.98)'"})
    adam_eps: float = ranged(1e-8, "added to the root of the second moment, as fairseq does", WEIGHT)
    weight_decay: float = ranged(0.0, "share of a weight that is taken off, times the rate", WEIGHT)
    lr: Any = II("optimization.lr")


@register_optimizer("speecht5_fused_adam", dataclass=SpeechT5FusedAdamConfig)
class SpeechT5FusedAdam(SpeechT5Adam):
    """``SpeechT5Adam``, rates for each part included, with the fused step.

    Raises:
        ValueError: an option out of its range.
    """

    def __init__(self, cfg: SpeechT5FusedAdamConfig, params: Iterable[nn.Parameter]) -> None:
        check_ranges(cfg, SpeechT5FusedAdamConfig)
        FairseqOptimizer.__init__(self, cfg)  # FairseqAdam's would build an optimizer of its own
        self._optimizer = FusedAdam(grouped(params), **self.optimizer_config)
        self.set_lr(self.optimizer_config["lr"])

    @property
    def optimizer_config(self) -> dict[str, Any]:
        """What a resumed run takes of its own options instead of the checkpoint's.

        Raises:
            ValueError: betas that are not two numbers of at least 0 and below 1.
        """
        return {
            "lr": self.cfg.lr[0],
            "betas": _betas(self.cfg.adam_betas),
            "eps": self.cfg.adam_eps,
            "weight_decay": self.cfg.weight_decay,
        }


# fairseq's trainer goes on with a state where the class has the name that the checkpoint tells. This state is that of
# fairseq's Adam: a run may change between the two.
SpeechT5FusedAdam.__name__ = FairseqAdam.__name__


class FusedAdam(Adam):
    """fairseq's Adam, its layout of groups and state included; only the arithmetic is torch's."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Performs a step, and returns what ``closure`` does."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for done, parameters in self._by_steps(group["params"]).items():
                for some in _batches(parameters):
                    self._step(some, done, group)
        return loss

    def _by_steps(self, parameters: Iterable[nn.Parameter]) -> dict[int, list[nn.Parameter]]:
        """Those with a gradient, by the steps that they have taken: layers that were skipped have taken fewer."""
        found = defaultdict(list)
        for parameter in parameters:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                dtype = torch.float32 if parameter.dtype in HALF else parameter.dtype
                state["step"] = 0
                state["exp_avg"] = torch.zeros_like(parameter, dtype=dtype)
                state["exp_avg_sq"] = torch.zeros_like(parameter, dtype=dtype)
            found[int(state["step"])].append(parameter)
        return found

    def _step(self, parameters: list[nn.Parameter], done: int, group: dict[str, Any]) -> None:
        """The next step of parameters that have taken ``done``, in float32 at least."""
        weights = [_wide(parameter.detach()) for parameter in parameters]
        moments = {name: [] for name in ("exp_avg", "exp_avg_sq")}
        for parameter, weight in zip(parameters, weights, strict=True):
            state = self.state[parameter]
            state["step"] = done + 1
            for name, found in moments.items():
                state[name] = state[name].to(weight)  # a checkpoint's may lie elsewhere
                found.append(state[name])
        counts = torch.full((len(weights),), float(done), device=weights[0].device).unbind()  # adamw counts on
        beta1, beta2 = group["betas"]
        adamw(
            weights,
            [_wide(parameter.grad) for parameter in parameters],
            moments["exp_avg"],
            moments["exp_avg_sq"],
            [],
            list(counts),
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"] / (1.0 - beta2 ** (done + 1)) ** 0.5,  # fairseq's is added before the bias is corrected
            maximize=False,
        )
        for parameter, weight in zip(parameters, weights, strict=True):
            if parameter.dtype in HALF:
                parameter.copy_(weight)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in HALF else tensor


def _batches(parameters: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """All in one, but those of half precision so many at a time that their copies stay small."""
    batch, size = [], 0
    for parameter in parameters:
        copied = parameter.numel() if parameter.dtype in HALF else 0
        if batch and size + copied > TOGETHER:
            yield batch
            batch, size = [], 0
        batch.append(parameter)
        size += copied
    if batch:
        yield batch


def _betas(given: Any) -> tuple[float, float]:
    """Of "(0.9, 0.98)", or of the numbers themselves."""
    try:
        first, second = (float(beta) for beta in (literal_eval(given) if isinstance(given, str) else given))
        if not (0 <= first < 1 and 0 <= second < 1):
            raise ValueError
    except (ValueError, TypeError, SyntaxError) as error:
        raise ValueError(f"--adam-betas {given}: give two numbers from 0 to below 1: '(0.9, 0.98)'") from error
    return first, second
