"""One training step at base size: forward, backward and Adam, on 4 utterances of 10 s.

    python -m benchmarks.training_step                     pre-training speech, s2t, and transformers' s2t, in turn
    python -m benchmarks.training_step --only s2t_ce transformers_s2t
    python -m benchmarks.training_step --device cuda --dtype bf16

Every case runs in a process of its own and imports no more than it needs, so that its peak memory is its own; cases
alternate over --rounds. The peer has no CTC loss, so it is compared with ours without CTC ("s2t_ce").
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from .measure import Measurement, as_json, machine, measure, table

BATCH, SECONDS, MEL_FRAMES, TOKENS, VOCABULARY, UNITS = 4, 10, 626, 100, 81, 504
SAMPLES = SECONDS * 16_000
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def _waveforms(device: str) -> dict[str, Tensor]:
    lengths = torch.full((BATCH,), SAMPLES, device=device)
    seeds = torch.arange(BATCH, device=device)
    return {"waveform": torch.randn(BATCH, SAMPLES, device=device), "sample_lengths": lengths, "seeds": seeds}


def _tokens(device: str) -> Tensor:
    return torch.randint(4, VOCABULARY - 2, (BATCH, TOKENS), device=device)


def dictionary():
    """A fairseq Dictionary of the released size: 75 symbols, fairseq's four, <mask> and <ctc_blank>."""
    from fairseq.data import Dictionary

    from speecht5_fairseq.constants import CTC_BLANK_SYMBOL, MASK_SYMBOL

    symbols = Dictionary()
    for symbol in [*(f"s{number}" for number in range(VOCABULARY - 6)), MASK_SYMBOL, CTC_BLANK_SYMBOL]:
        symbols.add_symbol(symbol)
    return symbols


def _ours(job: str, criterion_name: str, batch: dict, device: str, **options) -> tuple[nn.Module, Callable[[], Tensor]]:
    """A base model and its loss on ``batch`` through the registered criterion."""
    from types import SimpleNamespace

    from fairseq.criterions import CRITERION_REGISTRY

    from speecht5_fairseq.models import SpeechT5Config, SpeechT5Model
    from speecht5_fairseq.models.jobs import JOBS

    symbols = dictionary()
    cfg = SpeechT5Config(feature_grad_mult=0.1 if job == "pretrain" else 0.0)
    model = SpeechT5Model(cfg, JOBS[job], symbols=symbols.symbols, padding=symbols.pad(), units=UNITS)
    task = SimpleNamespace(text_dictionary=symbols, target_dictionary=symbols, ctc_blank=VOCABULARY - 1)
    criterion = CRITERION_REGISTRY[criterion_name](task, **options)
    return model.to(device).train(), lambda: _normalised(criterion(model, batch))


def _normalised(result: tuple[Tensor, int, dict]) -> Tensor:
    return result[0] / result[1]


def pretrain_speech(device: str):
    lengths = torch.full((BATCH,), MEL_FRAMES, device=device)
    frames = torch.randn(BATCH, MEL_FRAMES, 80, device=device)
    speaker = torch.randn(BATCH, 512, device=device)
    net_input = _waveforms(device) | {"target_frames": frames, "frame_lengths": lengths, "speaker": speaker}
    units = torch.randint(0, UNITS, (BATCH, SAMPLES // 320), device=device)
    speech = {"net_input": net_input, "target": {"units": units}, "ntokens": units.numel(), "nsentences": BATCH}
    batch = {"speech": speech, "nsentences": BATCH}
    weights = {"masked_weight": 1.0, "unmasked_weight": 0.0, "feature_penalty_weight": 10.0, "diversity_weight": 0.1}
    return _ours("pretrain", "speecht5_pretrain", batch, device, **weights, reconstruction_weight=1.0, text_weight=1.0)


def _s2t(device: str, ctc_weight: float):
    target = _tokens(device)
    previous = torch.cat([torch.full_like(target[:, :1], 2), target[:, :-1]], dim=1)
    batch = {
        "net_input": _waveforms(device) | {"prev_output_tokens": previous},
        "target": target,
        "target_lengths": torch.full((BATCH,), TOKENS, device=device),
        "ntokens": target.numel(),
        "nsentences": BATCH,
    }
    options = {"ce_weight": 1 - ctc_weight, "ctc_weight": ctc_weight, "label_smoothing": 0.1}
    others = {"keep_infinite_ctc": False, "wer_post_process": "sentencepiece", "sentence_avg": False}
    return _ours("s2t", "speecht5_s2t", batch, device, **options, **others)


def s2t(device: str):
    return _s2t(device, 0.5)


def s2t_ce(device: str):
    return _s2t(device, 0.0)


def transformers_s2t(device: str):
    from transformers import SpeechT5Config, SpeechT5ForSpeechToText

    model = SpeechT5ForSpeechToText(SpeechT5Config(vocab_size=VOCABULARY)).to(device).train()
    model.freeze_feature_encoder()  # ours runs with feature_grad_mult 0
    waveform, labels = torch.randn(BATCH, SAMPLES, device=device), _tokens(device)
    mask = torch.ones(BATCH, SAMPLES, dtype=torch.long, device=device)
    return model, lambda: model(input_values=waveform, attention_mask=mask, labels=labels).loss


CASES = {case.__name__: case for case in (pretrain_speech, s2t, s2t_ce, transformers_s2t)}


def run_case(name: str, *, device: str, dtype: str, warm_up: int, repeats: int) -> Measurement:
    """Time one case in this process."""
    torch.manual_seed(0)
    model, loss = CASES[name](device)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-6)

    def step() -> None:
        with torch.autocast(device, dtype=DTYPES[dtype], enabled=dtype != "fp32"):
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return measure(f"{name} {dtype}", step, device=device, warm_up=warm_up, repeats=repeats)


def _in_own_process(name: str, options: argparse.Namespace) -> Measurement:
    flags = ["--device", options.device, "--dtype", options.dtype, "--threads", str(options.threads)]
    counts = ["--warm-up", str(options.warm_up), "--repeats", str(options.repeats)]
    command = [sys.executable, "-m", "benchmarks.training_step", "--single", name, *flags, *counts]
    folder = Path(__file__).parents[1]
    output = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout
    seconds, slowest, fastest, peak = map(float, output.split("RESULT", 1)[1].split())
    return Measurement(f"{name} {options.dtype}", seconds, slowest, fastest, peak)


def _middle(results: list[Measurement]) -> Measurement:
    """The round whose median is the median of the rounds."""
    return sorted(results, key=lambda result: result.seconds)[(len(results) - 1) // 2]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="cases to run (default: all)")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where to run")
    parser.add_argument("--dtype", default="fp32", choices=DTYPES, help="of the products (autocast)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before the timed ones")
    parser.add_argument("--repeats", type=int, default=5, help="timed steps, of which the median counts")
    parser.add_argument("--rounds", type=int, default=1, help="times that the cases take turns")
    parser.add_argument("--json", type=Path, help="also write the result here")
    parser.add_argument("--single", choices=CASES, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = _parse()
    torch.set_num_threads(options.threads)
    if options.single:
        result = run_case(
            options.single,
            device=options.device,
            dtype=options.dtype,
            warm_up=options.warm_up,
            repeats=options.repeats,
        )
        print("RESULT", result.seconds, result.slowest, result.fastest, result.peak_gib)
        return
    rounds = [[_in_own_process(name, options) for name in options.only] for _ in range(options.rounds)]
    results = [_middle(list(of_case)) for of_case in zip(*rounds, strict=True)]
    print(machine())
    print(table(results))
    by_name = {name: result for name, result in zip(options.only, results, strict=True)}
    if {"s2t_ce", "transformers_s2t"} <= set(by_name):
        ours, peer = by_name["s2t_ce"], by_name["transformers_s2t"]
        print(
            f"transformers / ours, s2t with CE: time {peer.seconds / ours.seconds:.2f}, "
            f"memory {peer.peak_gib / ours.peak_gib:.2f}"
        )
    if options.json:
        options.json.write_text(as_json(results))


if __name__ == "__main__":
    main()
