"""The speech encoder at base size on one long utterance, without gradient, beside transformers' with the same weights.

    python -m benchmarks.encoder                    30 s
    python -m benchmarks.encoder --seconds 10 --dtype bf16

Each runs in a process of its own, and they step in turn. What counts as memory is what the run takes above the model
that stands there.
"""

from __future__ import annotations

import argparse

import torch

from .floors import encoder_floor
from .measure import DTYPES, Measurement, Ratio, Report, add_options, in_turns, measure, tell
from .models import random_model, their_model, waveforms

PEER = "transformers"
AIMS = {"time": 2.0, "memory": 4.0}


def encode(whose: str, *, seconds: float, device: str, dtype: str, repeats: int, turns: bool) -> Measurement:
    """Time ``ours`` or the peer's in this process."""
    batch = waveforms((seconds,), device)
    if whose == PEER:
        model = their_model("s2t").eval().to(device)
        mask = torch.ones_like(batch["waveform"], dtype=torch.long)

        def run() -> object:
            return model.speecht5.encoder(input_values=batch["waveform"], attention_mask=mask).last_hidden_state
    else:
        model = random_model("s2t").eval().to(device)

        def run() -> object:
            return model.encode(**batch).states

    def step() -> object:
        with torch.no_grad(), torch.autocast(device, dtype=DTYPES[dtype], enabled=dtype != "fp32"):
            return run()

    return measure(f"{whose}, {seconds:g} s, {dtype}", step, device=device, warm_up=0, repeats=repeats, turns=turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the utterance")
    parser.add_argument("--dtype", default="fp32", choices=DTYPES, help="of the products (autocast)")
    parser.add_argument("--single", choices=("ours", PEER), help=argparse.SUPPRESS)
    parser.add_argument("--turns", action="store_true", help=argparse.SUPPRESS)
    add_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    work = {"seconds": options.seconds, "device": options.device, "dtype": options.dtype}
    if options.single:
        tell(encode(options.single, **work, repeats=options.repeats, turns=options.turns))
        return
    flags = [text for name, value in work.items() for text in (f"--{name}", str(value))]
    flags += ["--threads", str(options.threads)]
    arguments = {name: ["--single", name, *flags] for name in ("ours", PEER)}
    ours, theirs = in_turns("benchmarks.encoder", arguments, options.repeats).values()
    name = f"encoder, {options.seconds:g} s, {options.dtype}"
    floor = encoder_floor(options.seconds, options.device, DTYPES[options.dtype])
    time = Ratio(name, ours.seconds, theirs.seconds, "s", PEER, AIMS["time"], floor)
    memory = Ratio(f"{name}, extra memory", ours.extra_gib, theirs.extra_gib, "GiB", PEER, AIMS["memory"])
    Report("encoder", [ours, theirs], [time, memory]).publish(options.json)


if __name__ == "__main__":
    main()
