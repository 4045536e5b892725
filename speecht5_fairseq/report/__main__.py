"""One HTML page of trainings and of what they generated: curves, scores, the worst utterances to hear, confusions.

    python -m speecht5_fairseq.report checkpoints/asr                    # a training: its folder of checkpoints
    python -m speecht5_fairseq.report checkpoints/asr --log asr.log -o asr.html
    python -m speecht5_fairseq.report results/asr --data prompts/en      # what fairseq-generate --results-path wrote
    python -m speecht5_fairseq.report results/asr results/other --data prompts/en     # side by side, with p-values
    python -m speecht5_fairseq.report work/finetuned work/scratch work/decode_finetuned.log work/decode_scratch.log
    python -m speecht5_fairseq.report speech/tts/test                    # after python -m speecht5_fairseq.scoring
    python -m speecht5_fairseq.report speakers/sid                       # with the file of verification --scores

Each RUN is a folder, or one file of it: a training (its log is looked for in the folder and beside it: NAME.log), or
what fairseq-generate wrote (transcripts, generated speech, speakers), with the scores that
`python -m speecht5_fairseq.scoring` and `scoring.verification --scores` left there. What a folder has not is left out,
and said on the page. The page needs no other file and no network: sound and pictures are inside.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from .media import Recordings
from .page import make_page, printable, write_page
from .sources import Source, open_source, short_names


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m speecht5_fairseq.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="folders or files; several are compared, in this order")
    add("-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help="(default: %(default)s)")
    add("--log", nargs="+", type=Path, default=[], metavar="FILE",
        help="logs of the training, where they are neither in its folder nor beside it; for one RUN")  # fmt: skip
    add("--data", type=Path, metavar="FOLDER", help="manifests SUBSET.tsv of what was decoded: the recordings of the "
        "worst utterances (default: what a log of decoding tells)")  # fmt: skip
    add("--audio-root", type=Path, metavar="FOLDER", help="replaces the audio root of the manifests")
    add("--worst", type=int, default=10, metavar="N",
        help="utterances to show of each test set, the worst first (default: %(default)s)")  # fmt: skip
    add("--title", default="Report", help="of the page (default: %(default)s)")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Read, score, write, say where."""
    options = build_parser().parse_args(argv)
    check_options(options)
    names = short_names(options.runs)
    sources = [open_source(path, name, options.log) for path, name in zip(options.runs, names, strict=True)]
    recordings = [_recordings(source, options) for source in sources]
    page = make_page(sources, title=options.title, worst=options.worst, recordings=recordings)
    size = write_page(options.output, page)
    for section in page.sections:
        print(printable(f"{section.name}: {section.holds}"))
        for note in section.notes:
            print(printable(f"  {note}"))
    print(printable(f"{options.output}, {size / 1e6:.1f} MB: open it in a browser"))


def check_options(options: argparse.Namespace) -> None:
    """Refuse what cannot be reported.

    Raises:
        ValueError: an option that cannot be, or that would have no effect.
    """
    if options.worst < 0:
        raise ValueError(f"--worst {options.worst}: give a number of utterances, or 0 for none")
    if options.log and len(options.runs) > 1:
        raise ValueError("--log belongs to one RUN, and there are several: put each log beside its folder, NAME.log")
    if options.audio_root is not None and options.data is None:
        raise ValueError("--audio-root has no effect without --data: add --data FOLDER, or leave --audio-root out")
    for option, folder in (("--data", options.data), ("--audio-root", options.audio_root)):
        if folder is not None and not folder.is_dir():
            raise ValueError(f"{option} {folder}: no such folder; correct the path")
    if options.output.is_dir():
        raise ValueError(f"--output {options.output} is a folder: name a file, {options.output / 'report.html'} say")
    if not options.output.absolute().parent.is_dir():
        raise ValueError(f"--output {options.output}: there is no folder {options.output.parent}; make it")


def _recordings(source: Source, options: argparse.Namespace) -> Recordings:
    """Of --data; else of the folder that a log of decoding names, if it is still there."""
    told = next((each for each in source.transcripts if each.data and Path(each.data).is_dir()), None)
    if options.data is not None:
        found = Recordings(options.data, options.audio_root)
    elif told is not None:
        found = Recordings(Path(told.data), Path(told.audio_root) if told.audio_root else None)
    else:
        found = Recordings(None)
    source.notes.extend(found.missing(each.subset for each in (*source.transcripts, *source.speakers)))
    return found


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", force=True)
    try:
        main()
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
