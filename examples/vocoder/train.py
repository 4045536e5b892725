"""Train a HiFi-GAN on the package's own log-mels: plain PyTorch, no fairseq task or criterion.

    python examples/vocoder/train.py --data prompts/en --out checkpoints/vocoder --size small --updates 20000

Reads DATA/train.tsv and DATA/valid.tsv. OUT/checkpoint.pt goes on where a run stopped; OUT/vocoder is what
`load_vocoder` (and `transformers`) loads. Shapes: B batch, N mel frames, M mel bins, S samples.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from discriminators import Discriminators, adversarial_loss, discriminator_loss, feature_loss
from segments import Segments, recordings
from torch import Tensor

from speecht5_fairseq.constants import MEL_HOP
from speecht5_fairseq.convert.hifigan import export_huggingface
from speecht5_fairseq.data.atomic import replacing
from speecht5_fairseq.data.mel import log_mel
from speecht5_fairseq.modules.hifigan import HifiganGenerator, HifiganSizes, add_weight_norm


class Size(NamedTuple):
    """What --size stands for."""

    generator: HifiganSizes
    period_width: int
    scale_width: int


SIZES = {
    "small": Size(HifiganSizes(128, (8, 8, 4), (16, 16, 8), (3, 7), ((1, 3), (1, 3))), period_width=4, scale_width=8),
    "v1": Size(HifiganSizes(), period_width=32, scale_width=128),  # the public SpeechT5 vocoder, the paper's widths
}
MEL_WEIGHT = 45 * math.log(10)  # the paper's 45 is for natural logarithms
FEATURE_WEIGHT = 2.0
QUIETEST = -5.0  # log10; mels below it, near digital silence, count as equal (the paper's 1e-5)
BETAS = (0.8, 0.99)
LARGEST_NORM = 10.0  # of the generator's gradient: the logarithm's is steep near silence
STATISTICS_BATCHES = 32  # batches of segments that the mel's mean and scale are measured on


class Trainer:
    """Both nets, their optimizers, and one update.

    Args:
        size: of the nets.
        learning_rate: at the start; it halves every `half_life` updates.
        adversarial_from: the update from which the discriminators take part.
    """

    def __init__(
        self, size: Size, *, learning_rate: float, half_life: int, adversarial_from: int, device: torch.device
    ) -> None:
        self.learning_rate, self.half_life, self.adversarial_from = learning_rate, half_life, adversarial_from
        self.device = device
        self.generator = HifiganGenerator(sizes=size.generator)
        add_weight_norm(self.generator)
        self.generator.to(device)
        widths = {"period_width": size.period_width, "scale_width": size.scale_width}
        self.discriminators = Discriminators(**widths).to(device)
        nets = (self.generator, self.discriminators)
        self.optimizers = [torch.optim.AdamW(net.parameters(), lr=learning_rate, betas=BETAS) for net in nets]
        self.update = 0

    def state(self) -> dict[str, Any]:
        """What `load` takes: plain numbers and tensors."""
        return {
            "update": self.update,
            "generator": self.generator.state_dict(),
            "discriminators": self.discriminators.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load(self, state: dict[str, Any]) -> None:
        self.update = state["update"]
        self.generator.load_state_dict(state["generator"])
        self.discriminators.load_state_dict(state["discriminators"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def measure(self, segments: Segments, batch_size: int) -> None:
        """Set the generator's mean and scale to those of the training mels."""
        mels = [segments.batch(number, batch_size)[0] for number in range(STATISTICS_BATCHES)]
        frames = torch.cat(mels).flatten(0, 1)
        self.generator.mean.copy_(frames.mean(0))
        self.generator.scale.copy_(frames.std(0).clamp(min=1e-3))

    def step(self, mel: Tensor, wave: Tensor) -> dict[str, float]:
        """One update on mel (B, N, M) and wave (B, S); returns the losses."""
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = self.learning_rate * 0.5 ** (self.update / self.half_life)
        mel, wave = mel.to(self.device), wave.to(self.device)
        made = self.generator(mel)
        losses = {"mel": mel_loss(made, wave)}
        total = MEL_WEIGHT * losses["mel"]
        if self.update >= self.adversarial_from:
            losses["discriminator"] = self._step_discriminators(made.detach(), wave)
            self.discriminators.requires_grad_(False)  # the generator's gradient passes through them only
            judged, real = self.discriminators(made), self.discriminators(wave)
            losses["adversarial"], losses["feature"] = adversarial_loss(judged), feature_loss(real, judged)
            total = total + losses["adversarial"] + FEATURE_WEIGHT * losses["feature"]
            self.discriminators.requires_grad_(True)
        self.optimizers[0].zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), LARGEST_NORM)
        self.optimizers[0].step()
        self.update += 1
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _step_discriminators(self, made: Tensor, wave: Tensor) -> Tensor:
        loss = discriminator_loss(self.discriminators(wave), self.discriminators(made))
        self.optimizers[1].zero_grad()
        loss.backward()
        self.optimizers[1].step()
        return loss

    @torch.no_grad()
    def validate(self, waves: list[Tensor]) -> float:
        """Mean over held-out waveforms of the mel L1 (log10) between each and what its mel becomes."""
        errors = []
        for wave in (wave.to(self.device) for wave in waves):
            made = self.generator(log_mel(wave)[None])[0, : len(wave)]
            errors.append(float(mel_loss(made[None], wave[None, : len(made)])))
        return sum(errors) / len(errors)


def mel_loss(made: Tensor, wave: Tensor) -> Tensor:
    """L1 between the log10-mels of waveforms (B, S) and (B, S)."""
    lengths = torch.full((len(wave),), wave.size(1), device=wave.device)
    ours, theirs = (log_mel(signal, lengths)[0].clamp(min=QUIETEST) for signal in (made, wave))
    return (ours - theirs).abs().mean()


def resume(trainer: Trainer, file: Path, options: dict[str, Any]) -> None:
    """Load a checkpoint of the same nets and the same data order.

    Raises:
        SystemExit: it was made with other options.
    """
    saved = torch.load(file, map_location="cpu", weights_only=True)
    differ = [
        f"--{name.replace('_', '-')} {saved['options'].get(name)}"
        for name in options
        if saved["options"].get(name) != options[name]
    ]
    if differ:
        raise SystemExit(f"{file} was made with {', '.join(differ)}: give the same again, or another --out")
    trainer.load(saved["state"])
    print(f"going on at update {trainer.update} of {file}")


def save(trainer: Trainer, out: Path, options: dict[str, Any]) -> None:
    """Write OUT/checkpoint.pt and OUT/vocoder, each complete or not at all."""
    with replacing(out / "checkpoint.pt") as partial:
        torch.save({"state": trainer.state(), "options": options}, partial)
    export_huggingface(trainer.generator, out / "vocoder")


def train(trainer: Trainer, segments: Segments, held_out: list[Tensor], args: argparse.Namespace) -> None:
    """Train to --updates, with reports, validation and checkpoints at their intervals and at the end."""
    options = {name: getattr(args, name) for name in ("size", "seed", "batch_size", "segment_frames")}
    file = args.out / "checkpoint.pt"
    if file.exists():
        resume(trainer, file, options)
    else:
        trainer.measure(segments, args.batch_size)
        print(f"update 0: held-out mel L1 {trainer.validate(held_out):.4f}", flush=True)
    losses, began = [], time.perf_counter()
    while trainer.update < args.updates:
        losses.append(trainer.step(*segments.batch(trainer.update, args.batch_size)))
        last = trainer.update == args.updates
        if trainer.update % args.log_every == 0 or last:
            seconds = (time.perf_counter() - began) / len(losses)
            print(f"update {trainer.update}: {averages(losses)}  {seconds:.2f} s an update", flush=True)
            losses, began = [], time.perf_counter()
        if trainer.update % args.save_every == 0 or last:
            save(trainer, args.out, options)
            print(f"update {trainer.update}: held-out mel L1 {trainer.validate(held_out):.4f}", flush=True)


def averages(losses: list[dict[str, float]]) -> str:
    """Each loss averaged over the updates that have it, as text."""
    values = {name: [step[name] for step in losses if name in step] for name in losses[-1]}
    return "  ".join(f"{name} {sum(value) / len(value):.4f}" for name, value in values.items())


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of train.tsv and valid.tsv, of any job")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint.pt and of the vocoder")
    parser.add_argument("--size", choices=SIZES, default="small", help="size of the nets")
    parser.add_argument("--updates", type=positive, default=20_000, help="updates in all")
    parser.add_argument("--batch-size", type=positive, default=16, help="segments in a batch")
    parser.add_argument("--segment-frames", type=positive, default=32, help=f"mel frames ({MEL_HOP} samples) of one")
    parser.add_argument("--adversarial-from", type=int, default=1000, help="updates with the mel loss alone, at first")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="at the start")
    parser.add_argument("--half-life", type=positive, default=10_000, help="updates that halve the learning rate")
    parser.add_argument("--held-out", type=positive, default=16, help="recordings of valid.tsv that are measured")
    parser.add_argument("--log-every", type=positive, default=50, help="updates between reports")
    parser.add_argument("--save-every", type=positive, default=500, help="updates between checkpoints")
    parser.add_argument("--seed", type=int, default=1, help="of the weights and the segments")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1, say")
    return parser.parse_args()


def positive(text: str) -> int:
    """An option's value that must be at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def main() -> None:
    args = parse_args()
    torch.manual_seed(args.seed)
    segments = Segments(args.data / "train.tsv", frames=args.segment_frames, seed=args.seed)
    if segments.left_out:
        print(f"{segments.left_out} of {len(segments.manifest)} recordings are shorter than a segment and left out")
    held_out = [wave for _, wave in recordings(args.data / "valid.tsv", args.held_out)]
    trainer = Trainer(
        SIZES[args.size],
        learning_rate=args.learning_rate,
        half_life=args.half_life,
        adversarial_from=args.adversarial_from,
        device=torch.device(args.device),
    )
    parameters = sum(parameter.numel() for parameter in trainer.generator.parameters())
    print(f"{args.size}: a generator of {parameters / 1e6:.2f} million parameters on {args.device}")
    train(trainer, segments, held_out, args)
    print(f"the vocoder: {args.out / 'vocoder'}")


if __name__ == "__main__":
    main()
