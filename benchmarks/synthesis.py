"""Autoregressive synthesis at base size: seconds a mel frame, beside transformers' SpeechT5 on the same weights.

    python -m benchmarks.synthesis                 batch 1 and 16, 100 tokens, two frames a step, 200 steps
    python -m benchmarks.synthesis --precision bfloat16
    python -m benchmarks.synthesis --precision float16
    python -m benchmarks.synthesis --device cuda

bfloat16 is --generation-precision for ours and model.to(torch.bfloat16) for theirs. float16 is --generation-precision
for ours; theirs stays float32 on a CPU, where its float16 is slower, and is model.to(torch.float16) on CUDA. Both
generate with the pre-net's dropout on, from the same random weights (through the converter), and never stop before the
limit. The two take turns in one process. A frame counts once for each utterance of the batch. The floors are those of
benchmarks.floors.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .floors import synthesis_floor
from .measure import Ratio, Report, add_options, take_turns
from .models import VOCABULARY, same_pair

TOKENS, STEPS, REDUCTION = 100, 200, 2
FRAMES = STEPS * REDUCTION
AIMS = {1: 2.0, 16: 5.0}  # ratio wanted at a batch
PRODUCTS = {"float32": None, "float16": torch.float16, "bfloat16": torch.bfloat16}


def inputs(batch: int, device: str) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    tokens = torch.randint(4, VOCABULARY - 2, (batch, TOKENS), device=device)
    return tokens, nn.functional.normalize(torch.randn(batch, 512, device=device))


def ours_step(model: nn.Module, batch: int, device: str) -> Callable[[], object]:
    from speecht5_fairseq.generation.speech import SpeechLimits, generate_speech

    tokens, speaker = inputs(batch, device)
    limits = SpeechLimits(threshold=100.0, max_ratio=FRAMES / TOKENS)
    seeds = torch.arange(batch)

    def run() -> None:
        with torch.no_grad():
            encoded = model.encode(source_tokens=tokens)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="float32", choices=list(PRODUCTS), help="see above")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16], help="utterances generated at a time")
    add_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device, products = options.device, PRODUCTS[options.precision]
    of_theirs = None if products == torch.float16 and device == "cpu" else products
    ours, theirs = same_pair("t2s", device)
    ours.prepare_decoding(products)
    theirs.to(of_theirs or torch.float32)
    measured, ratios = [], []
    for batch in options.batches:
        steps = {
            f"ours, batch {batch}": ours_step(ours, batch, device),
            f"transformers, batch {batch}": their_step(theirs, batch, device, of_theirs),
        }
        pair = list(take_turns(steps, device=device, repeats=options.repeats).values())
        measured += pair
        a_frame = [1000 * each.seconds / (batch * FRAMES) for each in pair]
        work = f"synthesis, batch {batch}, {options.precision}"
        peer = "transformers" if of_theirs == products else "transformers, float32"
        least = synthesis_floor(batch, TOKENS, STEPS, device, products or torch.float32)
        floor = 1000 * least / (batch * FRAMES)
        ratios.append(Ratio(work, *a_frame, "ms a frame", peer, AIMS.get(batch), floor))
    Report("synthesis", measured, ratios).publish(options.json)


if __name__ == "__main__":
    main()
