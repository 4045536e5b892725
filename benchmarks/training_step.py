"""One training step at base size (forward, backward, Adam), beside that of transformers and beside the counted floor.

    python -m benchmarks.training_step                     all cases, in turn
    python -m benchmarks.training_step --only s2t_ce transformers_s2t
    python -m benchmarks.training_step --dtype bf16 --device cuda
    python -m benchmarks.training_step --matmul-precision medium   float32 with its products in bfloat16 (or TF32)
    python -m benchmarks.training_step --checkpoint-activations    ours with activations computed again
    python -m benchmarks.training_step --compile-layers --device cuda   ours with compiled layers

Speech is 4 utterances of 10 s, text 100 symbols each, speech to make 626 mel frames each. Every case runs in a process
of its own and imports no more than it needs, so that its peak memory is its own; a case and its peer stand beside each
other and step in turn. The peer has neither the CTC loss nor pre-training: "s2t_ce" and "t2s" are what it is compared
with.

The floor is what the step needs at the least: its products (each once in the forward pass, and twice in the backward
pass where weights learn) at the rate that this machine reaches in a product of the model's own shape, and Adam's seven
reads and writes of every weight at the rate of a copy.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .cases import CASES, Loss, Work
from .measure import DTYPES, Measurement, Ratio, Report, add_options, in_turns, measure, tell

RATE = 1e-6  # of learning
# how the weights of a step are moved, by name
OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=RATE),
    "adam_fused": lambda parameters: torch.optim.Adam(parameters, lr=RATE, fused=True),
    "speecht5_adam": lambda parameters: _registered("speecht5_adam", parameters),
    "speecht5_fused_adam": lambda parameters: _registered("speecht5_fused_adam", parameters),
}
FLOOR_AIM = 1.5  # times the floor of pre-training
PAIRS = {"s2t_ce": ("transformers_s2t", 1.6, 2.0), "t2s": ("transformers_t2s", 1.5, None)}  # peer, aims: time, memory


class Training(NamedTuple):
    model: nn.Module
    loss: Loss
    step: Callable[[], None]  # forward, backward and update


def _registered(name: str, parameters: list[nn.Parameter]) -> Any:
    """An optimizer of the user dir, with fairseq's defaults."""
    from fairseq.optim import OPTIMIZER_DATACLASS_REGISTRY, OPTIMIZER_REGISTRY
    from omegaconf import OmegaConf

    cfg = OPTIMIZER_DATACLASS_REGISTRY[name]()
    cfg.lr, cfg.tpu = [RATE], False  # which point to other parts of a run's configuration
    return OPTIMIZER_REGISTRY[name](OmegaConf.structured(cfg), parameters)


def training(
    name: str,
    *,
    device: str,
    dtype: str = "fp32",
    work: Work | None = None,
    optimizer: str = "adam",
    compiled: bool = False,
) -> Training:
    """A case of ``CASES`` with an optimizer of ``OPTIMIZERS``, ready to step; ``compiled``: the layers of ours."""
    torch.manual_seed(0)
    model, loss = CASES[name](device, work or Work())
    if compiled:
        from speecht5_fairseq.modules.compilation import compile_layers

        compile_layers([*model.encoder.layers, *([] if model.decoder is None else model.decoder.layers)], device=device)
    moving = OPTIMIZERS[optimizer]([p for p in model.parameters() if p.requires_grad])

    def step() -> None:
        with torch.autocast(device, dtype=DTYPES[dtype], enabled=dtype != "fp32"):
            value = loss()
        value.backward()
        moving.step()
        for parameter in model.parameters():
            parameter.grad = None

    return Training(model, loss, step)


def run_case(
    name: str,
    *,
    device: str,
    dtype: str,
    warm_up: int,
    repeats: int,
    turns: bool = False,
    checkpoint_activations: bool = False,
    compiled: bool = False,
) -> Measurement:
    """Time one case in this process (``turns``: as ``measure``); the last two options change ours alone."""
    ours = not name.startswith("transformers")
    work = Work(options={"checkpoint_activations": checkpoint_activations} if ours else {})
    step = training(name, device=device, dtype=dtype, work=work, compiled=compiled and ours).step
    return measure(f"{name} {dtype}", step, device=device, warm_up=warm_up, repeats=repeats, turns=turns)


def beside(only: Sequence[str]) -> list[list[str]]:
    """The cases to run, those together that are compared."""
    together = [[case, peer] for case, (peer, *_) in PAIRS.items() if {case, peer} <= set(only)]
    paired = {name for pair in together for name in pair}
    return [*([name] for name in only if name not in paired), *together]


def _arguments(name: str, options: argparse.Namespace) -> list[str]:
    flags = ["--device", options.device, "--dtype", options.dtype, "--threads", str(options.threads)]
    ours = {
        "--checkpoint-activations": options.checkpoint_activations,
        "--compile-layers": options.compile_layers,
    }
    asked = [flag for flag, given in ours.items() if given]
    return [
        "--single",
        name,
        "--matmul-precision",
        options.matmul_precision,
        "--warm-up",
        str(options.warm_up),
        *flags,
        *asked,
    ]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="cases to run (default: all)")
    parser.add_argument("--dtype", default="fp32", choices=DTYPES, help="of the products (autocast)")
    parser.add_argument(
        "--matmul-precision", default="highest", choices=["highest", "high", "medium"], help="of float32 products"
    )
    parser.add_argument("--checkpoint-activations", action="store_true", help="of ours: compute them again")
    parser.add_argument("--compile-layers", action="store_true", help="of ours: torch.compile of the layers")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before the timed ones")
    parser.add_argument("--single", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--turns", action="store_true", help=argparse.SUPPRESS)
    add_options(parser)
    return parser.parse_args()


def ratios(found: dict[str, Measurement], dtype: str, floor: Callable[[str], float]) -> list[Ratio]:
    """Time, with what ``floor`` tells of a case, and memory beside the peer, for what ran."""
    made = []
    for case, (peer, of_time, of_memory) in PAIRS.items():
        if {case, peer} <= set(found):
            ours, theirs, work = found[case], found[peer], f"{case} step, {dtype}"
            made.append(Ratio(work, ours.seconds, theirs.seconds, "s", "transformers", of_time, floor(case)))
            made.append(Ratio(f"{work}, memory", ours.peak_gib, theirs.peak_gib, "GiB", "transformers", of_memory))
    return made


def precision_cost(case: str, device: str, precision: str) -> str:
    """How far a step's loss and gradient are from those of products with all digits, in words."""

    def step(asked: str) -> tuple[Tensor, Tensor]:
        torch.set_float32_matmul_precision(asked)
        torch.manual_seed(0)
        model, loss = CASES[case](device, Work())
        value = loss()
        value.backward()
        return value.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    (exact, gradient), (loss, found) = step("highest"), step(precision)
    apart = float((found - gradient).norm() / gradient.norm())
    return f"{case}, {precision}: loss {float(abs(loss / exact - 1)):.1e}, gradient {apart:.1e} from highest (relative)"


def main() -> None:
    options = _parse()
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision(options.matmul_precision)
    if options.single:
        counts = {"warm_up": options.warm_up, "repeats": options.repeats, "turns": options.turns}
        ours = {"checkpoint_activations": options.checkpoint_activations, "compiled": options.compile_layers}
        tell(run_case(options.single, device=options.device, dtype=options.dtype, **counts, **ours))
        return
    found: dict[str, Measurement] = {}
    for names in beside(options.only):
        arguments = {name: _arguments(name, options) for name in names}
        found |= in_turns("benchmarks.training_step", arguments, options.repeats)
    changes = {options.matmul_precision: options.matmul_precision != "highest"}
    changes |= {"recomputed": options.checkpoint_activations, "compiled": options.compile_layers}
    work = " ".join([options.dtype, *(change for change, made in changes.items() if made)])
    from .floors import step_floor  # here, for a case's process pays for no more than it needs

    compared = ratios(found, work, lambda case: step_floor(case, options.device, DTYPES[options.dtype]))
    notes = []
    if options.matmul_precision != "highest":
        ours = [name for name in options.only if not name.startswith("transformers")]
        notes += [precision_cost(name, options.device, options.matmul_precision) for name in ours]
    if "pretrain_speech" in found:
        least = step_floor("pretrain_speech", options.device, DTYPES[options.dtype])
        took = found["pretrain_speech"].seconds
        notes.append(
            f"pretrain_speech, {work}: {took / least:.2f} times its floor of {least:.2f} s ({FLOOR_AIM} aimed at)"
        )
    Report("training_step", list(found.values()), compared, notes).publish(options.json)


if __name__ == "__main__":
    main()
