"""The plan's bytes and operations against a real step on this machine's CPU.

    python -m benchmarks.plan                       base size, pre-training and recognition, three utterances of 10 s

Operations are counted over the whole step; bytes are the most that torch's CPU allocator gave out at a time, above
weights and gradients. The plan extends both from one utterance and two.
"""

from __future__ import annotations

import argparse

from torch.utils.flop_counter import FlopCounterMode

GIB = 2**30
FLAGS = "--optimizer adam --lr 0.001 --mask-prob 0.3"
TRAININGS = {  # job -> its flags
    "pretrain": "--task speecht5_pretrain --criterion speecht5_pretrain --text-data text",
    "s2t": "--task speecht5_s2t --criterion speecht5_s2t",
}
ARCHS = {"base": "speecht5", "small": "speecht5_small", "large": "speecht5_large"}


def compare(job: str, size: str, *, rows: int, seconds: float) -> list[str]:
    """A line for each part of the job's step."""
    from speecht5_fairseq.plan.allocations import most_allocated
    from speecht5_fairseq.plan.configuration import Flags, training_config
    from speecht5_fairseq.plan.estimate import Assumed, sizes_of
    from speecht5_fairseq.plan.step import IN_PLACE, build, count, parts_of, prepared, run

    flags = f"{TRAININGS[job]} --arch {ARCHS[size]} {FLAGS}"
    cfg = training_config(Flags("data", flags.split()))
    sizes, _ = sizes_of(cfg, job, Assumed(seconds=seconds))
    built, lines = build(cfg, job, sizes), []
    for part in parts_of(job):
        counted = count(built, part, sizes)
        batch = prepared(built, part.batch(rows, sizes))
        measured = most_allocated(lambda batch=batch: run(built, batch))
        with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
            run(built, batch)
        bytes_, flops = counted.bytes_of(rows), counted.flops_of(rows)
        lines.append(
            f"{job}, {part.name}, {size}, {rows} rows: {bytes_ / GIB:.3f} GiB planned, {measured / GIB:.3f} measured "
            f"({bytes_ / measured - 1:+.1%}); {flops / 1e9:.0f} GFLOP planned, {counter.get_total_flops() / 1e9:.0f} "
            f"counted ({flops / counter.get_total_flops() - 1:+.1%}, convolutions by transforms not in)"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=ARCHS, default="base", help="of the model")
    parser.add_argument("--only", nargs="+", choices=TRAININGS, default=list(TRAININGS), help="trainings")
    parser.add_argument("--rows", type=int, default=3, help="utterances")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each")
    options = parser.parse_args()
    for job in options.only:
        for line in compare(job, options.size, rows=options.rows, seconds=options.seconds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
