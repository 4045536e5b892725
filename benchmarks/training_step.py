"""One training step at base size (forward, backward, Adam), beside that of transformers and beside the counted floor.

    python -m benchmarks.training_step                     all cases, in turn
    python -m benchmarks.training_step --only s2t_ce transformers_s2t
    python -m benchmarks.training_step --dtype bf16 --device cuda
    python -m benchmarks.training_step --matmul-precision medium   float32 with its products in bfloat16 (or TF32)
    python -m benchmarks.training_step --checkpoint-activations    ours with activations computed again
    python -m benchmarks.training_step --compile-layers --device cuda   ours with compiled layers

Speech is 4 utterances of 10 s, text 100 symbols each, speech to make 626 mel frames each. Every case
runs in a process of its own and imports no more than it needs, so that its peak memory is its own; cases alternate over
--rounds. The peer has neither the CTC loss nor pre-training: "s2t_ce" and "t2s" are what it is compared with.

The floor is what the step needs at the least: its products (each once in the forward pass, and twice in the backward
pass where weights learn) at the rate that this machine reaches in a product of the model's own shape, and Adam's seven
reads and writes of every weight at the rate of a copy.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .measure import DTYPES, Measurement, Ratio, Report, add_options, apart, measure, tell
from .models import CLASSES, UNITS, VOCABULARY, dictionary, over_random_base, random_model, their_model

RATE = 1e-6  # of learning
Loss = Callable[[], Tensor]


@dataclass(frozen=True)
class Work:
    """What a step is made on; the peers know the first two."""

    batch: int = 4
    seconds: float = 10.0  # of speech of each utterance; ten symbols of text and 62.5 mel frames a second
    vocabulary: int = VOCABULARY
    units: int = UNITS
    size: str = "base"  # of models.SIZES
    options: dict[str, Any] = field(default_factory=dict)  # of the model, over those of the case

    @property
    def samples(self) -> int:
        return int(self.seconds * 16_000)

    @property
    def tokens(self) -> int:
        return int(self.seconds * 10)

    @property
    def unit_frames(self) -> int:
        return self.samples // 320

    @property
    def mel_frames(self) -> int:
        return self.samples // 256 + 1

    def waveforms(self, device: str) -> dict[str, Tensor]:
        lengths = torch.full((self.batch,), self.samples, device=device)
        waveform = torch.randn(self.batch, self.samples, device=device)
        return {"waveform": waveform, "sample_lengths": lengths, "seeds": torch.arange(self.batch, device=device)}

    def text(self, device: str) -> Tensor:
        return torch.randint(4, self.vocabulary - 2, (self.batch, self.tokens), device=device)

    def frames(self, device: str) -> dict[str, Tensor]:
        return {
            "target_frames": torch.randn(self.batch, self.mel_frames, 80, device=device),
            "frame_lengths": torch.full((self.batch,), self.mel_frames, device=device),
            "speaker": nn.functional.normalize(torch.randn(self.batch, 512, device=device)),
        }


def _criterion(name: str, vocabulary: int, **options: Any) -> nn.Module:
    from types import SimpleNamespace

    from fairseq.criterions import CRITERION_REGISTRY

    symbols = dictionary(vocabulary)
    task = SimpleNamespace(text_dictionary=symbols, target_dictionary=symbols, ctc_blank=vocabulary - 1)
    return CRITERION_REGISTRY[name](task, **options)


def _ours(
    job: str, criterion: str, batch: dict, device: str, work: Work, model: dict | None = None, **options: Any
) -> tuple[nn.Module, Loss]:
    """A model with random weights, and its loss on ``batch`` through the registered criterion."""
    settings = {**(model or {}), **work.options}
    build = over_random_base if settings.get("lora_rank") or settings.get("adapter_dim") else random_model
    built = build(job, work.size, symbols=work.vocabulary, units=work.units, **settings).to(device).train()
    loss = _criterion(criterion, work.vocabulary, **options)
    return built, lambda: _normalised(loss(built, batch))


def _normalised(result: tuple[Tensor, int, dict]) -> Tensor:
    return result[0] / result[1]


def pretrain_speech(device: str, work: Work) -> tuple[nn.Module, Loss]:
    units = torch.randint(0, work.units, (work.batch, work.unit_frames), device=device)
    net_input = work.waveforms(device) | work.frames(device)
    speech = {"net_input": net_input, "target": {"units": units}, "ntokens": units.numel(), "nsentences": work.batch}
    batch = {"speech": speech, "nsentences": work.batch}
    weights = {"masked_weight": 1.0, "unmasked_weight": 0.0, "feature_penalty_weight": 10.0, "diversity_weight": 0.1}
    weights |= {"reconstruction_weight": 1.0, "text_weight": 1.0}
    return _ours("pretrain", "speecht5_pretrain", batch, device, work, {"feature_grad_mult": 0.1}, **weights)


def _s2t(device: str, work: Work, ctc_weight: float, **model: Any) -> tuple[nn.Module, Loss]:
    target = work.text(device)
    previous = torch.cat([torch.full_like(target[:, :1], 2), target[:, :-1]], dim=1)
    batch = {
        "net_input": work.waveforms(device) | {"prev_output_tokens": previous},
        "target": target,
        "target_lengths": torch.full((work.batch,), work.tokens, device=device),
        "ntokens": target.numel(),
        "nsentences": work.batch,
    }
    options = {"ce_weight": 1 - ctc_weight, "ctc_weight": ctc_weight, "label_smoothing": 0.1}
    others = {"keep_infinite_ctc": False, "wer_post_process": "sentencepiece", "sentence_avg": False}
    settings = {"feature_grad_mult": 0.0, **model}
    return _ours("s2t", "speecht5_s2t", batch, device, work, settings, **options, **others)


def s2t(device: str, work: Work) -> tuple[nn.Module, Loss]:
    return _s2t(device, work, 0.5)


def s2t_ce(device: str, work: Work) -> tuple[nn.Module, Loss]:
    return _s2t(device, work, 0.0)


def s2t_lora(device: str, work: Work) -> tuple[nn.Module, Loss]:
    """Low-rank updates of every Linear of the layers over a frozen base."""
    return _s2t(device, work, 0.5, lora_rank=8, lora_targets="q,k,v,out,fc1,fc2")


def _speech(job: str, source: dict[str, Tensor], device: str, work: Work, guided_weight: float, **model: Any) -> Any:
    batch = {
        "net_input": source | work.frames(device),
        "ntokens": work.batch * work.mel_frames,
        "nsentences": work.batch,
    }
    guided = {"guided_attention_weight": guided_weight, "guided_attention_sigma": 0.4, "guided_attention_layers": None}
    options = {"mel_loss": "l1", "stop_weight": 5.0, "guided_attention_heads": 2, "sentence_avg": False}
    return _ours(job, "speecht5_speech", batch, device, work, model, **guided, **options)


def t2s(device: str, work: Work) -> tuple[nn.Module, Loss]:
    """Synthesis with guided attention, as the peer has it."""
    return _speech("t2s", {"source_tokens": work.text(device)}, device, work, 10.0)


def s2s(device: str, work: Work) -> tuple[nn.Module, Loss]:
    """Voice conversion to speech of the same length."""
    return _speech("s2s", work.waveforms(device), device, work, 0.0, feature_grad_mult=0.0)


def s2c(device: str, work: Work) -> tuple[nn.Module, Loss]:
    """One of 40 speakers."""
    classes = torch.randint(0, CLASSES, (work.batch,), device=device)
    batch = {
        "net_input": work.waveforms(device),
        "classes": classes,
        "ntokens": work.batch,
        "nsentences": work.batch,
    }
    return _ours("s2c", "speecht5_s2c", batch, device, work, {"feature_grad_mult": 0.0})


def transformers_s2t(device: str, work: Work) -> tuple[nn.Module, Loss]:
    model = their_model("s2t").to(device).train()
    model.freeze_feature_encoder()  # ours runs with feature_grad_mult 0
    waveform, labels = work.waveforms(device)["waveform"], work.text(device)
    mask = torch.ones_like(waveform, dtype=torch.long)
    return model, lambda: model(input_values=waveform, attention_mask=mask, labels=labels).loss


def transformers_t2s(device: str, work: Work) -> tuple[nn.Module, Loss]:
    model, tokens, frames = their_model("t2s").to(device).train(), work.text(device), work.frames(device)
    mask = torch.ones_like(tokens)

    def loss() -> Tensor:
        return model(
            input_ids=tokens,
            attention_mask=mask,
            speaker_embeddings=frames["speaker"],
            labels=frames["target_frames"],
        ).loss

    return model, loss


OURS = (pretrain_speech, s2t, s2t_ce, s2t_lora, t2s, s2s, s2c)
CASES = {case.__name__: case for case in (*OURS, transformers_s2t, transformers_t2s)}
# how the weights of a step are moved, by name
OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=RATE),
    "adam_fused": lambda parameters: torch.optim.Adam(parameters, lr=RATE, fused=True),
    "speecht5_adam": lambda parameters: _registered("speecht5_adam", parameters),
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
    name: str, *, device: str, dtype: str = "fp32", work: Work | None = None, optimizer: str = "adam"
) -> Training:
    """A case of ``CASES`` with an optimizer of ``OPTIMIZERS``, ready to step."""
    torch.manual_seed(0)
    model, loss = CASES[name](device, work or Work())
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
    checkpoint_activations: bool = False,
    compiled: bool = False,
) -> Measurement:
    """Time one case in this process; the last two options change ours alone."""
    model, _, step = training(name, device=device, dtype=dtype)
    if not name.startswith("transformers"):
        change(model, device, checkpoint_activations=checkpoint_activations, compiled=compiled)
    return measure(f"{name} {dtype}", step, device=device, warm_up=warm_up, repeats=repeats)


def change(model: nn.Module, device: str, *, checkpoint_activations: bool, compiled: bool) -> None:
    """What the options of these names do in fairseq-train."""
    from speecht5_fairseq.modules.compilation import compile_layers

    for module in model.modules():
        if hasattr(module, "recompute"):
            module.recompute = checkpoint_activations
    if compiled:
        decoder = [] if model.decoder is None else model.decoder.layers
        compile_layers([*model.encoder.layers, *decoder], device=device)


def _arguments(name: str, options: argparse.Namespace) -> list[str]:
    flags = ["--device", options.device, "--dtype", options.dtype, "--threads", str(options.threads)]
    counts = ["--warm-up", str(options.warm_up), "--repeats", str(options.repeats)]
    ours = {
        "--checkpoint-activations": options.checkpoint_activations,
        "--compile-layers": options.compile_layers,
    }
    asked = [flag for flag, given in ours.items() if given]
    return ["--single", name, "--matmul-precision", options.matmul_precision, *flags, *counts, *asked]


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
    parser.add_argument("--rounds", type=int, default=1, help="times that the cases take turns")
    parser.add_argument("--single", choices=CASES, help=argparse.SUPPRESS)
    add_options(parser)
    return parser.parse_args()


def ratios(found: dict[str, Measurement], dtype: str) -> list[Ratio]:
    """Time and memory beside the peer, for what ran."""
    made = []
    for case, (peer, of_time, of_memory) in PAIRS.items():
        if {case, peer} <= set(found):
            ours, theirs, work = found[case], found[peer], f"{case} step, {dtype}"
            made.append(Ratio(work, ours.seconds, theirs.seconds, "s", "transformers", of_time))
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
        counts = {"warm_up": options.warm_up, "repeats": options.repeats}
        ours = {"checkpoint_activations": options.checkpoint_activations, "compiled": options.compile_layers}
        tell(run_case(options.single, device=options.device, dtype=options.dtype, **counts, **ours))
        return
    rounds = [
        {name: apart("benchmarks.training_step", _arguments(name, options)) for name in options.only}
        for _ in range(options.rounds)
    ]
    found = {
        name: sorted((r[name] for r in rounds), key=lambda m: m.seconds)[len(rounds) // 2] for name in options.only
    }
    changes = {options.matmul_precision: options.matmul_precision != "highest"}
    changes |= {"recomputed": options.checkpoint_activations, "compiled": options.compile_layers}
    work = " ".join([options.dtype, *(change for change, made in changes.items() if made)])
    compared = ratios(found, work)
    notes = []
    if options.matmul_precision != "highest":
        ours = [name for name in options.only if not name.startswith("transformers")]
        notes += [precision_cost(name, options.device, options.matmul_precision) for name in ours]
    if "pretrain_speech" in found:
        from .floors import step_floor

        least = step_floor("pretrain_speech", options.device, DTYPES[options.dtype])
        took = found["pretrain_speech"].seconds
        notes.append(
            f"pretrain_speech, {work}: {took / least:.2f} times its floor of {least:.2f} s ({FLOOR_AIM} aimed at)"
        )
    Report("training_step", list(found.values()), compared, notes).publish(options.json)


if __name__ == "__main__":
    main()
