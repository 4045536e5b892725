"""Memory of a training on each GPU, by part.

What fairseq keeps for a parameter follows from its precision: with ``--fp16`` or ``--bf16`` the optimizer has float32
copies of weights and gradients (fairseq's FP16Optimizer), the memory-efficient ones have none, and ``--amp`` keeps
float32 weights. The optimizer's own state is counted: the optimizer is built, takes a step, and tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from fairseq import optim
from omegaconf import DictConfig
from torch import Tensor, nn

from .step import Trained

CONTEXT = 10**9  # bytes, assumed: the CUDA context, libraries and their workspaces
FRAGMENTS = 0.1  # of the activations, assumed: what the allocator holds and cannot use
LEGACY_NUMBERS = 2**28  # most that fairseq's legacy_ddp sums at a time
LEGACY = ("legacy_ddp", "no_c10d")
PROBE = (256, 256)  # a weight on which the optimizer's state is counted


class Memory(NamedTuple):
    """Bytes on each GPU."""

    weights: int
    gradients: int
    copies: int  # float32 weights and gradients beside half-precision ones
    optimizer: int
    buffers: int  # in which gradients are summed over processes
    activations: int
    context: int
    fragments: int

    @property
    def total(self) -> int:
        return sum(self)


def weights_of(cfg: DictConfig, trained: Sequence[Trained], *, processes: int, cpu: bool) -> Memory:
    """All but the activations, and what is assumed beside them."""
    everything, learning = (sum(getattr(net, kind) for net in trained) for kind in ("parameters", "learning"))
    half, efficient = is_half(cfg), is_efficient(cfg)
    size = 2 if half else 4
    shards = processes if str(cfg.distributed_training.zero_sharding) == "os" else 1
    summed = min(everything, LEGACY_NUMBERS) if str(cfg.distributed_training.ddp_backend) in LEGACY else learning
    return Memory(
        weights=size * everything,
        gradients=size * learning,
        copies=8 * learning if half and not efficient else 0,
        optimizer=round(state_bytes(cfg, half=half and efficient) * learning / shards),
        buffers=size * summed if processes > 1 else 0,
        activations=0,
        context=0 if cpu else CONTEXT,
        fragments=0,
    )


def with_activations(memory: Memory, activations: int) -> Memory:
    return memory._replace(activations=activations, fragments=round(FRAGMENTS * activations) if memory.context else 0)


def is_half(cfg: DictConfig) -> bool:
    """Whether weights and gradients are float16 or bfloat16."""
    return bool(cfg.common.fp16 or cfg.common.bf16)


def is_efficient(cfg: DictConfig) -> bool:
    return bool(cfg.common.memory_efficient_fp16 or cfg.common.memory_efficient_bf16)


def state_bytes(cfg: DictConfig, *, half: bool) -> float:
    """Of the optimizer for each number that learns: it takes a step with a weight of ``PROBE``."""
    weight = nn.Parameter(torch.zeros(PROBE, dtype=torch.bfloat16 if half else torch.float32))
    weight.grad = torch.ones_like(weight)
    optimizer = optim.build_optimizer(cfg.optimizer, [weight])
    optimizer.step()
    tensors = [each for each in optimizer.optimizer.state[weight].values() if isinstance(each, Tensor)]
    return sum(each.numel() * each.element_size() for each in tensors) / weight.numel()
