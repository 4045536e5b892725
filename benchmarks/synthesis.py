"""Autoregressive synthesis at base size: seconds a mel frame, beside transformers' SpeechT5 on the same weights.

    python -m benchmarks.synthesis                 batch 1 and 16, 100 tokens, two frames a step, 200 steps
    python -m benchmarks.synthesis --precision bfloat16
    python -m benchmarks.synthesis --device cuda

bfloat16 is --generation-precision for ours and model.to(torch.bfloat16) for theirs. Both generate with the pre-net's
dropout on, from the same random weights (through convert/huggingface.py), and never stop before the limit. The two take
turns in one process. A frame counts once for each utterance of the batch. The floor is what reading the decoder's
weights once a step takes at the rate of a matrix-vector product of this machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from .measure import Measurement, as_json, machine, measure, table
from .training_step import VOCABULARY, dictionary

TOKENS, STEPS, REDUCTION = 100, 200, 2
FRAMES = STEPS * REDUCTION


def models(device: str) -> tuple[nn.Module, nn.Module]:
    """Ours and theirs with the same random weights."""
    from transformers import SpeechT5Config as TheirConfig
    from transformers import SpeechT5ForTextToSpeech

    from speecht5_fairseq.convert.huggingface import TABLE, from_huggingface
    from speecht5_fairseq.models import SpeechT5Config, SpeechT5Model
    from speecht5_fairseq.models.jobs import JOBS

    torch.manual_seed(0)
    theirs = SpeechT5ForTextToSpeech(TheirConfig(vocab_size=VOCABULARY)).eval().to(device)
    symbols = dictionary()
    ours = SpeechT5Model(SpeechT5Config(), JOBS["t2s"], symbols=symbols.symbols, padding=symbols.pad(), units=0)
    names = [name for name in ours.state_dict() if TABLE.theirs(name)]
    ours.load_state_dict(from_huggingface(theirs.state_dict(), names))
    return ours.eval().to(device), theirs


def inputs(batch: int, device: str) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    tokens = torch.randint(4, VOCABULARY - 2, (batch, TOKENS), device=device)
    return tokens, nn.functional.normalize(torch.randn(batch, 512, device=device))


def ours_step(model: nn.Module, batch: int, device: str, products: torch.dtype | None) -> Callable[[], object]:
    from speecht5_fairseq.generation.speech import SpeechLimits, generate_speech

    tokens, speaker = inputs(batch, device)
    limits = SpeechLimits(threshold=100.0, max_ratio=FRAMES / TOKENS)
    seeds = torch.arange(batch)

    def run() -> None:
        with torch.no_grad(), torch.autocast(device, dtype=products, enabled=products is not None):
            encoded = model.encode(source_tokens=tokens)
        encoded = encoded._replace(states=encoded.states.float())
        found = generate_speech(model, encoded, speaker, limits=limits, seeds=seeds)
        assert all(len(speech.mel) == FRAMES for speech in found)

    return run


def their_step(model: nn.Module, batch: int, device: str, dtype: torch.dtype | None) -> Callable[[], object]:
    tokens, speaker = inputs(batch, device)
    speaker = speaker.to(dtype or torch.float32)
    mask = torch.ones_like(tokens)

    def run() -> None:
        mel = model.generate(
            tokens, attention_mask=mask, speaker_embeddings=speaker, threshold=100.0, maxlenratio=FRAMES / TOKENS
        )
        assert mel.numel() == batch * FRAMES * 80

    return run


def take_turns(
    batch: int, pair: tuple[nn.Module, nn.Module], device: str, products: torch.dtype | None, repeats: int
) -> list[Measurement]:
    """One measurement each, of alternating runs after one of each to warm up."""
    names = (f"ours, batch {batch}", f"transformers, batch {batch}")
    steps = [make(model, batch, device, products) for make, model in zip((ours_step, their_step), pair, strict=True)]
    for step in steps:
        step()
    named = list(zip(names, steps, strict=True))
    rounds = [[measure(*each, device=device, warm_up=0, repeats=1) for each in named] for _ in range(repeats)]
    merged = []
    for of_one in zip(*rounds, strict=True):
        seconds = [each.seconds for each in of_one]
        middle = statistics.median(seconds)
        merged.append(Measurement(of_one[0].name, middle, max(seconds), min(seconds), of_one[-1].peak_gib))
    return merged


def floor(model: nn.Module, device: str) -> float:
    """Seconds a frame of reading the decoder's weights once a step (batch 1)."""
    parts = (model.decoder, model.speech_decoder_prenet)
    weights = [parameter for part in parts for parameter in part.parameters() if parameter.dim() == 2]
    read = sum(weight.numel() for weight in weights)
    skipped = sum(layer.encoder_attn.k_proj.weight.numel() * 2 for layer in model.decoder.layers)  # once an utterance
    matrix, vector = torch.randn(16_384, 3072, device=device), torch.randn(1, 3072, device=device)
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        nn.functional.linear(vector, matrix)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return (read - skipped) / matrix.numel() * statistics.median(seconds) / REDUCTION


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where to run")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"], help="of both")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16], help="utterances generated at a time")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each, of which the median counts")
    parser.add_argument("--json", type=Path, help="also write the result here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pair = models(options.device)
    products = torch.bfloat16 if options.precision == "bfloat16" else None
    pair[0].prepare_decoding(products)
    pair[1].to(products or torch.float32)
    print(machine(), options.precision)
    results = []
    for batch in options.batches:
        ours, theirs = take_turns(batch, pair, options.device, products, options.repeats)
        results += [ours, theirs]
        frames = batch * FRAMES
        print(
            f"batch {batch}: ours {1000 * ours.seconds / frames:.2f} ms a frame, transformers "
            f"{1000 * theirs.seconds / frames:.2f}, ratio {theirs.seconds / ours.seconds:.2f}",
            flush=True,
        )
    print(f"floor at batch 1, float32: {1000 * floor(pair[0], options.device):.2f} ms a frame")
    print(table(results))
    if options.json:
        options.json.write_text(as_json(results))


if __name__ == "__main__":
    main()
