"""Score a folder of generated speech against references.

    python -m speecht5_fairseq.scoring out/test --metrics mcd mel_l1_dtw asr
    python -m speecht5_fairseq.scoring out/test --metrics pesq stoi estoi si_sdr --baseline source
    python -m speecht5_fairseq.scoring generated --references recorded --texts texts.tsv --metrics mcd asr

GENERATED is what our fairseq-generate wrote (it holds results.tsv: the scores become columns of it, and a later run
replaces its own columns only), or any folder of recordings (the scores go to GENERATED/scores.tsv, written anew each
time). Printed are corpus means, and corpus error rates (all edits / all words), with 95% bootstrap intervals over
utterances. What cannot be scored is listed with its reason and left out of the numbers; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ..data.errors import listed
from .folders import open_folder
from .intelligibility import POCKETSPHINX
from .metrics import ASR, GENERATED, METRICS, PAIR_METRICS, REFERENCE, SOURCE, SPEAKER, Plan
from .report import corpus_table
from .score_folder import score_folder

DEFAULT_METRICS = ("mcd", "mel_l1_dtw")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m speecht5_fairseq.scoring",
        description=__doc__,
        epilog=_metrics_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("generated", type=Path, metavar="GENERATED", help="folder with results.tsv, or with recordings")
    add("--metrics", nargs="+", type=_metric_name, choices=METRICS, default=list(DEFAULT_METRICS), metavar="METRIC",
        help=f"see the list below (default: {' '.join(DEFAULT_METRICS)})")  # fmt: skip
    add("--references", type=Path, metavar="FOLDER",
        help="recordings of the same relative paths (default: the column reference)")  # fmt: skip
    add("--texts", type=Path, metavar="FILE", help="lines id<TAB>text, for asr (default: the column text)")
    add("--baseline", choices=[SOURCE], help="score the source recordings too: enhancement and conversion, before "
        "beside after")  # fmt: skip
    add("--sources", type=Path, metavar="FOLDER",
        help="source recordings of the same relative paths (default: the column source)")  # fmt: skip
    add("--asr", metavar="RECOGNISER", help="pocketsphinx (default; offline, US English, small), 'command:PROGRAM "
        "{wav}' (any program that prints the text; no shell) or MODULE:FUNCTION (of a 16 kHz waveform)")  # fmt: skip
    add("--asr-references", action="store_true", help="error rates of the reference recordings too: what the "
        "recogniser reaches at best")  # fmt: skip
    add("--speaker-encoder", metavar="MODULE:FUNCTION", help="makes a vector of a 16 kHz waveform, for instance "
        "manifest_tools.speaker_statistics:resemblyzer_vector")  # fmt: skip
    add("--speaker-vectors", action="store_true", help="compare with the vector file in the column speaker, not with "
        "the reference's own vector; it must be made by the same encoder")  # fmt: skip
    add("--jobs", type=int, default=0, help="processes to use (default 0: one a core)")
    return parser


def _metric_name(name: str) -> str:
    """Names are taken as they are often written too: SI-SDR for si_sdr."""
    return name.lower().replace("-", "_")


def _metrics_help() -> str:
    lines = [f"  {name:<11} {metric.help} ({metric.better} is better)" for name, metric in PAIR_METRICS.items()]
    lines.append(f"  {SPEAKER:<11} cosine of speaker vectors; needs --speaker-encoder (higher is better)")
    lines.append(f"  {ASR:<11} word and character error rates of a recogniser against the text (lower is better)")
    note = (
        "Time-aligned pairs differ by at most one mel hop (256 samples at 16 kHz) and are cut to the shorter; longer\n"
        "differences are listed as errors. Recordings of other rates are resampled to 16 kHz."
    )
    return "metrics:\n" + "\n".join(lines) + f"\n\n{note}"


def make_plan(options: argparse.Namespace) -> Plan:
    """What the options ask for. Raises ValueError for an option that has no effect, or one that is missing."""
    metrics = tuple(dict.fromkeys(options.metrics))
    _check_effect(ASR in metrics, f"--metrics {ASR}", options, ("asr", "asr_references", "texts"))
    _check_effect(SPEAKER in metrics, f"--metrics {SPEAKER}", options, ("speaker_encoder", "speaker_vectors"))
    _check_effect(options.baseline is not None, f"--baseline {SOURCE}", options, ("sources",))
    if SPEAKER in metrics and options.speaker_encoder is None:
        raise ValueError(
            f"--metrics {SPEAKER}: give --speaker-encoder MODULE:FUNCTION, for instance "
            "manifest_tools.speaker_statistics:resemblyzer_vector"
        )
    if options.jobs < 0:
        raise ValueError(f"--jobs {options.jobs}: give a number of processes, or 0 for one a core")
    systems = [GENERATED]
    systems += [SOURCE] if options.baseline else []
    systems += [REFERENCE] if options.asr_references else []
    return Plan(
        metrics,
        tuple(systems),
        asr=options.asr or POCKETSPHINX,
        speaker_encoder=options.speaker_encoder or "",
        speaker_vectors=options.speaker_vectors,
    )


def _check_effect(chosen: bool, needed: str, options: argparse.Namespace, names: Sequence[str]) -> None:
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name)]
    if given and not chosen:
        raise ValueError(f"{given[0]} has no effect without {needed}: add that, or leave {given[0]} out")


def main(argv: Sequence[str] | None = None) -> int:
    """Score, write, print. Returns the exit code: 1 when something could not be scored."""
    options = build_parser().parse_args(argv)
    plan = make_plan(options)
    table, utterances = open_folder(
        options.generated, references=options.references, sources=options.sources, texts=options.texts
    )
    problems = score_folder(table, utterances, plan, jobs=options.jobs)
    print(corpus_table(table.rows, plan))
    print(f"\n{len(utterances)} utterances, written to {table.path}")
    if problems:
        names = {problem.name for problem in problems}
        print(f"{len(names)} of them could not be scored in full:")
        print(listed([f"{problem.name}: {problem.reason}" for problem in problems]))
    return int(bool(problems))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", force=True)
    try:
        sys.exit(main())
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
