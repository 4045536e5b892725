"""Everything worth knowing about a GPU in one call: are its numbers right, how fast is it, how much memory it takes.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --parts precision steps --minutes 4

Needs no network and no data; where transformers or sentencepiece are missing, the parts that need them fail and the
others go on. First the checks: losses and gradients in fp32, bf16 and fp16 beside those of the CPU in fp32, batched
beam search and synthesis beside their utterances alone and in bfloat16, conversion there and back. Then what is timed,
with the device's peak memory: training steps of every job with their share of the rate of a product, attention in
several ways beside float64, search and synthesis. Exits with 1 where a number is wrong or a part failed, and with 2
where a part was left out for want of time. Beside torch, torchaudio, transformers and their like it imports ve-fairseq,
hydra-core, omegaconf, antlr4-python3-runtime, bitarray, cffi, editdistance and soundfile. `--device cpu --size tiny`
tries the program itself.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

from .gpu_checks import Check, check_conversion, check_precision, check_search, check_speech
from .gpu_times import free, time_attention, time_search, time_speech, time_steps
from .measure import machine
from .models import SIZES


class Part(NamedTuple):
    """What gives checks and lines; it is left out unless ``seconds``, what it takes on a GPU, are left."""

    work: Callable[[str, str], Iterable[Check | str]]
    seconds: float


PARTS = {
    "precision": Part(check_precision, 45),
    "search": Part(check_search, 30),
    "speech": Part(check_speech, 40),
    "conversion": Part(check_conversion, 60),
    "steps": Part(time_steps, 150),
    "attention": Part(time_attention, 45),
    "search_time": Part(time_search, 20),
    "speech_time": Part(time_speech, 30),
}


class Outcome(NamedTuple):
    wrong: list[str]  # checks out of their limits, and parts that failed
    left_out: list[str]  # parts for which there was no time


def run(parts: dict[str, Part], device: str, size: str, minutes: float) -> Outcome:
    """Run ``parts`` in their order and print what they find; a part that fails does not end the others."""
    began, outcome = time.perf_counter(), Outcome([], [])
    for name, part in parts.items():
        start = time.perf_counter()
        if start - began + part.seconds > 60 * minutes:
            outcome.left_out.append(name)
            continue
        print(f"\n{name}", flush=True)
        try:
            for found in part.work(device, size):
                print(found, flush=True)
                if isinstance(found, Check) and not found.right:
                    outcome.wrong.append(found.what)
        except Exception as error:  # whatever it is: the machine is here once, and the other parts are worth having
            traceback.print_exc(limit=-4, file=sys.stdout)
            outcome.wrong.append(f"{name} ({type(error).__name__})")
        free(device)
        print(f"{name}: {time.perf_counter() - start:.1f} s", flush=True)
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--size", default="base", choices=SIZES, help="of the models")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS, help="to run, in this order")
    parser.add_argument("--minutes", type=float, default=8.0, help="parts that would end after these are left out")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("this machine has no CUDA device that torch sees: --device cpu tries the program itself")
    logging.getLogger("speecht5_fairseq.generation").setLevel(logging.ERROR)  # random weights reach every limit
    print(machine(), flush=True)
    outcome = run({name: PARTS[name] for name in options.parts}, options.device, options.size, options.minutes)
    if outcome.left_out:
        print(f"\nleft out after --minutes {options.minutes:g}: {', '.join(outcome.left_out)}")
    print(f"\nWRONG: {', '.join(outcome.wrong)}" if outcome.wrong else "\nnothing wrong in what ran")
    return 1 if outcome.wrong else 2 if outcome.left_out else 0


if __name__ == "__main__":
    sys.exit(main())
