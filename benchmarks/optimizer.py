"""One step of Adam over the weights of a recogniser of base size: the fused step, fairseq's adam, and torch's AdamW.

    python -m benchmarks.optimizer

All step on the same weights and gradients, each with moments of its own. First ours and fairseq's take ten steps from
the same weights, in float64, and must agree.
"""

from __future__ import annotations

import argparse

import torch
from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig
from torch import Tensor

from speecht5_fairseq.optim import SpeechT5FusedAdam
from speecht5_fairseq.optim.fused_adam import SpeechT5FusedAdamConfig

from .measure import Ratio, Report, add_options, take_turns
from .models import SIZES, random_model

AIM, TOLERANCE = 2.5, 1e-12
OPTIONS = {"adam_betas": "(0.9, 0.98)", "weight_decay": 0.01, "lr": [1e-6]}


def ours(weights: list[Tensor]) -> SpeechT5FusedAdam:
    return SpeechT5FusedAdam(SpeechT5FusedAdamConfig(**OPTIONS), weights)


def of_fairseq(weights: list[Tensor]) -> FairseqAdam:
    return FairseqAdam(FairseqAdamConfig(**OPTIONS, tpu=False), weights)


def of_torch(weights: list[Tensor]) -> torch.optim.Optimizer:
    """As it comes: on a CPU one weight after another, on a GPU by lists of them."""
    return torch.optim.AdamW(weights, lr=1e-6, betas=(0.9, 0.98), weight_decay=0.01)


def weights_of(size: str, device: str) -> list[Tensor]:
    """With a gradient each."""
    weights = list(random_model("s2t", size).to(device).parameters())
    for weight in weights:
        weight.grad = 0.1 * torch.randn_like(weight)
    return weights


def difference(steps: int = 10) -> float:
    """Largest between ours and fairseq's, of the tiny model in float64 at a rate that moves it."""
    found = []
    for made in (ours, of_fairseq):
        weights = [weight.detach().double().requires_grad_() for weight in weights_of("tiny", "cpu")]
        optimizer = made(weights)
        optimizer.set_lr(0.01)
        for step in range(steps):
            generator = torch.Generator().manual_seed(step)
            for weight in weights:
                weight.grad = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            optimizer.step()
        found.append(weights)
    return max(float((a - b).detach().abs().max()) for a, b in zip(*found, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="base", choices=SIZES, help="of the model")
    add_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    apart = difference()
    weights = weights_of(options.size, options.device)
    optimizers = {"ours": ours(weights), "fairseq": of_fairseq(weights), "torch AdamW": of_torch(weights)}
    steps = {name: optimizer.step for name, optimizer in optimizers.items()}
    found = take_turns(steps, device=options.device, repeats=options.repeats)
    count = sum(weight.numel() for weight in weights)
    work = f"Adam step, {count / 1e6:.0f} M weights"
    ratios = [
        Ratio(work, found["ours"].seconds, found["fairseq"].seconds, "s", "fairseq", AIM),
        Ratio(work, found["ours"].seconds, found["torch AdamW"].seconds, "s", "torch.optim.AdamW"),
    ]
    notes = [f"largest difference from fairseq's after ten steps in float64: {apart:.1e} (allowed {TOLERANCE:.0e})"]
    Report("optimizer", list(found.values()), ratios, notes).publish(options.json)
    if apart > TOLERANCE:
        raise SystemExit("the steps differ")


if __name__ == "__main__":
    main()
