"""How fast a device is and how much memory it takes: what ``benchmarks.gpu`` times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch

from .cases import OURS, Work
from .floors import forward_flops, rates
from .gpu_checks import PRODUCTS, SECONDS, TOKENS, quiet, search, speak
from .measure import DTYPES, Measurement, measure, table
from .models import waveforms
from .training_step import PAIRS, training

LENGTHS = {"base": 10.0, "tiny": 1.0}  # seconds of an utterance in a training step
UNCOUNTED = ("s2t_lora",)  # whose frozen weights have no products in the backward pass


@dataclass(frozen=True)
class Step:
    """A training step to time: a case, how it is computed, and what moves the weights (of ``OPTIMIZERS``)."""

    case: str
    dtype: str = "bf16"
    batch: int = 4
    optimizer: str = "adam"
    model: dict[str, Any] = field(default_factory=dict)  # options over those of the case
    compiled: bool = False  # the layers

    def __str__(self) -> str:
        options = [self.optimizer, *(f"{name} {value}" for name, value in self.model.items())]
        options += ["compiled"] * self.compiled
        return f"{self.case} {self.dtype}, batch {self.batch}, {', '.join(options)}"


# Every case of ours and its peer, then larger batches, then one line for each optimizer and option that changes a step.
STEPS = (
    *(Step(case.__name__, dtype) for case in OURS for dtype in ("fp32", "bf16")),
    *(Step(peer, dtype) for peer, *_ in PAIRS.values() for dtype in ("fp32", "bf16")),
    Step("pretrain_speech", "fp16"),
    *(Step(case, batch=16) for case in ("pretrain_speech", "s2t", "t2s")),
    Step("pretrain_speech", optimizer="adam_fused"),
    Step("pretrain_speech", optimizer="speecht5_adam"),
    Step("pretrain_speech", optimizer="speecht5_fused_adam"),
    Step("pretrain_speech", model={"checkpoint_activations": True}),
    Step("pretrain_speech", compiled=True),
)


def time_step(step: Step, device: str, size: str, *, repeats: int) -> Measurement:
    work = Work(batch=step.batch, seconds=LENGTHS[size], size=size, options=step.model)
    how = {"optimizer": step.optimizer, "compiled": step.compiled}
    made = training(step.case, device=device, dtype=step.dtype, work=work, **how)
    return measure(str(step), made.step, device=device, warm_up=3, repeats=repeats)


@cache
def flops(case: str, size: str) -> int:
    """Products of a training step on one utterance, counted on the CPU."""
    return forward_flops(case, Work(batch=1, seconds=LENGTHS[size], size=size)).step


def utilisation(step: Step, measured: Measurement, size: str, best: float) -> str:
    """The share of the rate of a product that a step's counted products reach; empty where they are not counted."""
    if step.case.startswith("transformers") or step.case in UNCOUNTED:
        return ""
    reached = flops(step.case, size) * step.batch / measured.seconds
    return f"  {reached / 1e12:8.3g} TFLOP/s, {reached / best:4.0%} of a product's"


def time_steps(device: str, size: str) -> Iterator[str]:
    """Seconds, memory and model-FLOPs utilisation of ``STEPS``."""
    best = {dtype: rates(device, DTYPES[dtype]).flops for dtype in DTYPES}
    yield ", ".join(f"{dtype} {rate / 1e12:.3g} TFLOP/s" for dtype, rate in best.items()) + " in a product"
    yield table([])
    steps = STEPS if size == "base" else [step for step in STEPS if not step.case.startswith("transformers")]
    for step in steps:
        measured = time_step(step, device, size, repeats=10 if device == "cuda" else 1)
        yield table([measured]).splitlines()[1] + utilisation(step, measured, size, best[step.dtype])


def time_search(device: str, size: str) -> Iterator[str]:
    """Beam 5 with joint CTC: the batch, in each --generation-precision."""
    model, batch = quiet(size).to(device).eval(), waveforms(SECONDS)
    yield table([])
    for precision, products in PRODUCTS.items():
        model.prepare_decoding(products)
        name = f"search, batch {len(SECONDS)}, {precision}"
        found = measure(name, partial(search, model, device, batch), device=device, warm_up=1, repeats=3)
        yield f"{table([found]).splitlines()[1]}  {sum(SECONDS) / found.seconds:.1f} times real time"


def time_speech(device: str, size: str) -> Iterator[str]:
    """One text and all of them, in each --generation-precision."""
    model = quiet(size, "t2s").to(device).eval()
    yield table([])
    for precision, products in PRODUCTS.items():
        model.prepare_decoding(products)
        for rows in ([1], list(range(len(TOKENS)))):
            frames = 4 * sum(TOKENS[row] for row in rows)
            name = f"synthesis, batch {len(rows)}, {precision}"
            found = measure(name, partial(speak, model, device, rows), device=device, warm_up=1, repeats=3)
            yield f"{table([found]).splitlines()[1]}  {1000 * found.seconds / frames:.3f} ms a mel frame"


def time_attention(device: str, size: str) -> Iterator[str]:
    from .attention import lines

    shape = {"batch": 16, "frames": 500} if size == "base" else {"batch": 2, "frames": 40}
    yield from lines(device=device, dtypes=["fp32", "bf16", "fp16"], repeats=10, **shape)


def free(device: str) -> None:
    """Give cached memory back, so that a part's peak is its own."""
    if device == "cuda":
        torch.cuda.empty_cache()
