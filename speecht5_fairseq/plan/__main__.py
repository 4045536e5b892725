"""What a training will take on N GPUs, without training anything.

    python -m speecht5_fairseq.plan examples/pretrain/librispeech_960h.sh --gpus 32 --gpu h100
    python -m speecht5_fairseq.plan examples/demo/settings.sh --arrays COMMON FINETUNE --gpu cpu -- prompts/en
    python -m speecht5_fairseq.plan --gpu rtx4090 -- DATA --task speecht5_s2t --criterion speecht5_s2t ...

CONFIG is a shell file as the examples have them; flags of fairseq-train after -- are added to its own, and win. A step
on one and on two utterances is counted on the CPU, at most some minutes; the rest is arithmetic. The folder of the
manifests is CONFIG's SPEECH or DATA, or stands first after --; dictionaries and manifests that are there are read.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from collections.abc import Sequence

import torch
from omegaconf import DictConfig

from ..constants import ENCODER_WINDOW, SAMPLE_RATE
from .configuration import ARRAYS, Flags, read_flags, training_config
from .estimate import Assumed, Plan, build, job_of, plan, precision_of, sizes_of
from .gpus import NAMES, device_named
from .measured import step_rate
from .report import Said, as_json, report

DEFAULT = Assumed()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m speecht5_fairseq.plan",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [CONFIG] [options] [-- fairseq-train flags]",
    )
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="a shell file with the flags")
    parser.add_argument("--arrays", nargs="+", default=list(ARRAYS), help="arrays of CONFIG that hold them")
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="how many, one process on each")
    parser.add_argument("--gpu", choices=NAMES, default="h100", help="which; the rates of cpu are measured now")
    parser.add_argument(
        "--utilisation",
        type=float,
        default=DEFAULT.utilisation,
        help="share of the peak rate that a step is assumed to reach (%(default)s)",
    )
    parser.add_argument(
        "--measure", action="store_true", help="time a step on this machine (its GPU, or CPU) and take its rate instead"
    )
    parser.add_argument("--utterance-seconds", type=float, help="of all utterances (default: the longest there may be)")
    parser.add_argument(
        "--tokens-a-second", type=float, default=DEFAULT.tokens_a_second, help="of text beside speech (%(default)s)"
    )
    parser.add_argument(
        "--reduce-gb", type=float, default=DEFAULT.reduce_bytes / 1e9, help="GB/s to sum gradients (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the plan for machines")
    return parser


def _given(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Our options, and the flags after --."""
    ours, flags = list(argv), []
    if "--" in ours:
        place = ours.index("--")
        ours, flags = ours[:place], ours[place + 1 :]
    parser = _parser()
    options = parser.parse_args(ours)
    if options.gpus < 1:
        parser.error(f"--gpus {options.gpus}: give 1 or more")
    if not 0 < options.utilisation <= 1:
        parser.error(f"--utilisation {options.utilisation}: give a share above 0, at most 1")
    for name in ("tokens_a_second", "reduce_gb"):
        if not 0 < vars(options)[name] < math.inf:
            parser.error(f"--{name.replace('_', '-')} {vars(options)[name]}: give a number above 0")
    shortest = ENCODER_WINDOW / SAMPLE_RATE
    if options.utterance_seconds is not None and not shortest <= options.utterance_seconds < math.inf:
        parser.error(f"--utterance-seconds {options.utterance_seconds}: give at least {shortest:g}, one encoder frame")
    if options.config is None and not flags:
        parser.error("give a CONFIG, or the flags of fairseq-train after --")
    return options, flags


def _flags(options: argparse.Namespace, added: list[str]) -> Flags:
    """Those of the file, then those added; a folder before the first of these is the data's."""
    found = Flags("", []) if options.config is None else read_flags(options.config, options.arrays)
    data = found.data
    if added and not added[0].startswith("-"):
        data, added = added[0], added[1:]
    return Flags(data, found.flags + added)


def _recomputed(found: Plan, cfg: DictConfig, options: argparse.Namespace, assumed: Assumed) -> Plan | None:
    """The plan with ``--checkpoint-activations``, where it does not fit without."""
    if found.fits or cfg.model.checkpoint_activations:
        return None
    other = cfg.copy()
    other.model.checkpoint_activations = True
    return plan(other, gpus=options.gpus, device=found.device, assumed=assumed, rate=1.0)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, count, print."""
    options, added = _given(sys.argv[1:] if argv is None else argv)
    cfg = training_config(_flags(options, added))
    assumed = Assumed(options.utterance_seconds, options.tokens_a_second, options.utilisation, options.reduce_gb * 1e9)
    half = precision_of(cfg) == "half"
    device = device_named(options.gpu, dtype=torch.bfloat16 if half else torch.float32)
    rate = None
    if options.measure:
        job = job_of(cfg)
        sizes, _ = sizes_of(cfg, job, assumed)
        rate = step_rate(build(cfg, job, sizes), job, sizes)
    found = plan(cfg, gpus=options.gpus, device=device, assumed=assumed, rate=rate)
    name = options.config or "the flags"
    said = Said(name, cfg, assumed, rate, _recomputed(found, cfg, options, assumed))
    print(json.dumps(as_json(found, said), indent=1) if options.json else report(found, said))


if __name__ == "__main__":
    logging.disable(logging.INFO)  # of fairseq and hydra; the page is all there is to say
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
