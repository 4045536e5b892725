"""A plan as a page of text, and what to change where it does not fit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from omegaconf import DictConfig

from ..constants import SAMPLE_RATE
from .estimate import Assumed, Plan, longest_batch
from .memory import CONTEXT, FRAGMENTS, is_efficient, is_half

GIB = 2**30
ROW = "  {:<24}{:>16}  {}"
PRECISIONS = {"half": "16-bit", "tf32": "TF32", "float32": "float32"}


class Said(NamedTuple):
    """What the report is about besides the plan."""

    config: str
    cfg: DictConfig
    assumed: Assumed
    measured_rate: float | None
    recomputed: Plan | None = None  # the same with --checkpoint-activations, where it does not fit without


def report(plan: Plan, said: Said) -> str:
    """The whole page."""
    lines = [f"{said.config}: {said.cfg.task._name}, {said.cfg.model._name}, on {plan.gpus} x {plan.device.title}"]
    lines += ["", *_parameters(plan), "", *_memory(plan), "", *_work(plan, said), "", *_time(plan, said)]
    lines += ["", *(f"note: {note}" for note in (*plan.notes, *_notes(plan, said)))]
    lines += ["", *_verdict(plan, said)]
    return "\n".join(line.rstrip() for line in lines)


def _parameters(plan: Plan) -> Iterator[str]:
    yield ROW.format("parameters (counted)", "all", "that learn")
    for net in plan.trained:
        yield ROW.format(net.net, f"{net.parameters:,}", f"{net.learning:,}")
    both = (sum(getattr(net, kind) for net in plan.trained) for kind in ("parameters", "learning"))
    yield ROW.format("all", *(f"{number:,}" for number in both))


def _memory(plan: Plan) -> Iterator[str]:
    memory = plan.memory
    why = {
        "weights": "counted",
        "gradients": "counted",
        "copies": "float32 copies",
        "optimizer": "counted",
        "buffers": "to sum gradients",
        "activations": "counted, extended",
        "context": "assumed",
        "fragments": "assumed",
    }
    yield ROW.format("memory of each, GiB", "", "")
    for part, size in memory._asdict().items():
        yield ROW.format(part, f"{size / GIB:.2f}", why[part] if size else "")
    yield ROW.format("all", f"{memory.total / GIB:.2f}", f"of {plan.device.bytes / GIB:.2f}")


def _work(plan: Plan, said: Said) -> Iterator[str]:
    tokens, frequency = plan.tokens, said.cfg.optimization.update_freq[0]
    yield f"an update ({plan.gpus} processes x --update-freq {frequency}; padding not counted)"
    for part in plan.rows:
        yield ROW.format(f"rows of {part.part}", f"{part.rows:,}", "on each, at a time")
    yield ROW.format("speech, hours", f"{tokens.samples / SAMPLE_RATE / 3600:.3f}", f"{tokens.rows:,} utterances")
    for name, number in (
        ("encoder frames", tokens.frames),
        ("mel frames", tokens.mel_frames),
        ("text tokens", tokens.text),
    ):
        if number:
            yield ROW.format(name, f"{number:,}", "")
    yield ROW.format("operations, PFLOP", f"{plan.flops * plan.gpus / 1e15:.4g}", "counted, extended")


def _time(plan: Plan, said: Said) -> Iterator[str]:
    yield ROW.format("time (expected)", "", "")
    yield ROW.format("an update, s", f"{plan.step_seconds:.3g}", f"{plan.reduce_seconds:.2g} to sum gradients")
    if plan.updates is None or plan.days is None:
        yield "  no --max-update: the length of the run is not told"
        return
    yield ROW.format("updates", f"{plan.updates:,}", "")
    yield ROW.format("days", f"{plan.days:.3g}", f"{plan.days * 24 * plan.gpus:,.0f} device hours")


def _notes(plan: Plan, said: Said) -> Iterator[str]:
    seconds = plan.sizes.samples / SAMPLE_RATE
    yield f"every utterance is taken as long as the longest, {seconds:.1f} s; shorter ones need less memory and time"
    yield "operations are those of products and convolutions, forward and backward, of a step on this machine's CPU"
    kind = PRECISIONS[plan.precision]
    if said.measured_rate is not None:
        yield f"the rate is that of a step measured on this machine, {said.measured_rate / 1e12:.4g} TFLOPS"
    else:
        peak = plan.device.rates[plan.precision] / 1e12
        source = "measured now in one product" if plan.device.measured else "the vendor's data sheet, dense"
        yield f"{kind} products: {peak:.4g} TFLOPS ({source}), of which {said.assumed.utilisation:g} is assumed reached"
    if plan.gpus > 1:
        yield f"gradients are assumed summed at {said.assumed.reduce_bytes / 1e9:g} GB/s a GPU, after the backward pass"
    if plan.memory.context:
        yield f"assumed: {CONTEXT / 1e9:g} GB for CUDA's context, {FRAGMENTS:.0%} of the activations lost to fragments"
    if (said.cfg.common.bf16) and not plan.device.bfloat16:
        yield f"{plan.device.title} has no bfloat16 products: take --fp16"


def _verdict(plan: Plan, said: Said) -> Iterator[str]:
    if plan.fits:
        yield f"It fits: {plan.memory.total / GIB:.1f} of {plan.device.bytes / GIB:.1f} GiB."
        return
    need, there = plan.memory.total / GIB, plan.device.bytes / GIB
    yield f"It does not fit: {need:.1f} GiB where there are {there:.1f}. What to change:"
    yield from (f"  {change}" for change in changes(plan, said))


def changes(plan: Plan, said: Said) -> list[str]:
    """What makes it fit, or helps."""
    found, cfg = [], said.cfg
    speech = next(each for each in plan.rows if each.part == "speech")
    rows, frequency = longest_batch(plan, cfg), cfg.optimization.update_freq[0]
    if rows:
        more = math.ceil(frequency * speech.rows / rows)
        found.append(
            f"--max-tokens {rows * plan.sizes.samples} --update-freq {more}: as much speech an update, less at a time"
        )
    if said.recomputed is not None:
        found.append(
            f"--checkpoint-activations: {said.recomputed.memory.total / GIB:.1f} GiB, and another forward pass"
        )
    if not is_half(cfg):
        found.append("--fp16: half the activations")
    elif not is_efficient(cfg):
        kind = "fp16" if cfg.common.fp16 else "bf16"
        found.append(f"--memory-efficient-{kind}: {plan.memory.copies / GIB:.1f} GiB less, no float32 weights are kept")
    if not rows:
        longest = plan.sizes.samples
        found.append(
            f"shorter utterances: one of {longest} samples does not fit (--crop-samples, --max-speech-samples)"
        )
    return found


def as_json(plan: Plan, said: Said) -> dict[str, Any]:
    """The plan for machines; bytes, seconds and floating-point operations."""
    return {
        **plan._asdict(),
        "sizes": plan.sizes._asdict(),
        "device": plan.device._asdict(),
        "trained": [net._asdict() for net in plan.trained],
        "rows": [{"part": each.part, "rows": each.rows, **each.counted._asdict()} for each in plan.rows],
        "memory": plan.memory._asdict() | {"total": plan.memory.total},
        "tokens": plan.tokens._asdict(),
        "days": plan.days,
        "fits": plan.fits,
        "changes": [] if plan.fits else changes(plan, said),
        "notes": [*plan.notes, *_notes(plan, said)],
    }
