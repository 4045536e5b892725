"""Common Voice of any language, for recognition: its clips with their sentences, by its official splits.

    python -m manifest_tools.common_voice --corpus cv-corpus/fr --normalise fr --out common_voice/fr
    python -m manifest_tools.common_voice --corpus cv-corpus/fr --train validated --audio-format flac --out ...

The corpus (Ardila et al. 2020) has a folder a language with clips/NAME.mp3 and the tables train.tsv, dev.tsv, test.tsv,
validated.tsv and others, whose columns client_id, path and sentence are read. Of the table for training, clips of the
other splits and of their speakers are left out: validated.tsv has them too. MP3 files are read as they are; flac or wav
decodes each once, to 16 kHz in OUT/audio, which training reads faster. OUT/speakers.tsv is a --speaker-table for
manifest_tools.speaker_vectors. Clips that are broken are left out and listed. At the end everything is checked.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from speecht5_fairseq.data.text_normalisation import find_normaliser

from .command import add_jobs_option, run, workers
from .corpora import (
    add_corpus_options,
    add_length_options,
    add_normalise_option,
    check_lengths,
    contents,
    existing_folder,
    finish,
)
from .headers import measure
from .label_vocabulary import (
    VocabularyOptions,
    add_vocabulary_options,
    check_labelled,
    check_vocabulary,
    label_vocabulary,
    vocabulary_options,
)
from .labelled import Lengths, Selection, select_spoken, write_labelled, write_speaker_table
from .left_out import LeftOut
from .segments import FORMATS, Folders, Segment, check_format, cut_segments
from .summary import SplitSize
from .tables import read_rows
from .updates import check_old_splits
from .voices import Audio

TABLES = {"train": "train", "valid": "dev", "test": "test"}
COLUMNS = {"path": "path", "text": "sentence", "speaker": "client_id"}
CLIPS = "clips"
AUDIO = "audio"  # below the output: clips that are decoded
KEEP = "mp3"


class Clip(NamedTuple):
    """What a table says of a clip."""

    text: str
    speaker: str


class Table(NamedTuple):
    """The clips of a split by their paths, and those that are not to be used."""

    clips: dict[str, Clip]
    left_out: list[LeftOut]


def read_clips(corpus: Path, table: str) -> Table:
    """The clips of corpus/TABLE.tsv, the first where one is listed twice. FileNotFoundError or ValueError."""
    path = corpus / f"{table}.tsv"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table. {contents(corpus)}; give --corpus the folder of one language")
    found = Table({}, [])
    for _, row in read_rows(path, COLUMNS):
        name = f"{CLIPS}/{row['path']}" if PurePosixPath(row["path"]).suffix else f"{CLIPS}/{row['path']}.{KEEP}"
        if name in found.clips:
            found.left_out.append(LeftOut(name, "listed twice"))
        else:
            found.clips[name] = Clip(row["text"], row["speaker"])
    return found


def hold_out(tables: Mapping[str, Table]) -> dict[str, Table]:
    """The tables without training clips that another split has, or whose speaker it has."""
    others = [table for split, table in tables.items() if split != "train"]
    clips, speakers = set().union(*(table.clips for table in others)), set[str]()
    for table in others:
        speakers |= {clip.speaker for clip in table.clips.values()}
    if "train" not in tables:
        return dict(tables)
    kept, left_out = dict[str, Clip](), list(tables["train"].left_out)
    for name, clip in tables["train"].clips.items():
        if name in clips or clip.speaker in speakers:
            left_out.append(LeftOut(name, "in a held-out split" if name in clips else "speaker of a held-out split"))
        else:
            kept[name] = clip
    return {**tables, "train": Table(kept, left_out)}


def _decode(selected: Selection, corpus: Path, out: Path, split: str, suffix: str, n_jobs: int) -> Selection:
    """The selection in files of 16 kHz below out/audio, written where they are not there yet."""
    segments = [
        Segment(row.audio.name, str(PurePosixPath(row.audio.name).with_suffix("")), 0, row.audio.samples)
        for row in selected.kept
    ]
    lengths = cut_segments(segments, Folders(corpus, out / AUDIO, suffix), split, n_jobs)
    kept, left_out = [], list(selected.left_out)
    for spoken, segment, length in zip(selected.kept, segments, lengths, strict=True):
        if isinstance(length, str):
            left_out.append(LeftOut(spoken.audio.name, length))
        else:
            kept.append(spoken._replace(audio=Audio(f"{segment.name}.{suffix}", length)))
    return Selection(kept, left_out)


def _check_options(
    tables: Mapping[str, str | None], audio_format: str, lengths: Lengths, vocabulary: VocabularyOptions
) -> dict[str, str]:
    """The splits that there are to be."""
    if audio_format != KEEP:
        check_format(audio_format)
    check_lengths(*lengths)
    there = {split: table for split, table in tables.items() if table}
    if not there or len(set(there.values())) < len(there):
        raise ValueError(f"--train, --valid, --test {' '.join(there.values())}: give each split a table of its own")
    check_vocabulary(vocabulary, list(there))
    return there


def prepare_common_voice(
    corpus: Path,
    out: Path,
    *,
    tables: Mapping[str, str | None] = TABLES,
    audio_format: str = KEEP,
    normaliser: str = "none",
    min_seconds: float = 0.1,
    max_seconds: float = 30.0,
    vocabulary: VocabularyOptions | None = None,
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write out/SPLIT.tsv, SPLIT.txt, left_out/SPLIT.tsv, speakers.tsv and dict.txt.

    corpus: the folder of a language. tables: split -> name of its table; None: no such split. audio_format: "mp3"
    leaves the clips as they are. vocabulary: default a new one of characters. Returns the sizes. Run again, it does
    what is missing. Raises FileNotFoundError or ValueError with the mend.
    """
    vocabulary, lengths = vocabulary or VocabularyOptions(), Lengths(min_seconds, max_seconds)
    there, normalise = _check_options(tables, audio_format, lengths, vocabulary), find_normaliser(normaliser)
    corpus, out = existing_folder(corpus, "--corpus", "clips, train.tsv, dev.tsv ...").resolve(), out.resolve()
    existing_folder(corpus / CLIPS, f"--corpus {corpus}", "the clips, NAME.mp3")
    splits = hold_out({split: read_clips(corpus, table) for split, table in there.items()})
    sizes, speakers = [], dict[str, str]()
    for split, (clips, unused) in splits.items():
        measured = measure(corpus, list(clips), out, split, n_jobs=n_jobs)
        found = select_spoken(measured, lengths, lambda name, clips=clips: clips[name].text, normalise)
        selected = Selection(found.kept, unused + found.left_out)
        names = {spoken.audio.name: clips[spoken.audio.name].speaker for spoken in selected.kept}
        root = corpus
        if audio_format != KEEP:
            selected, root = _decode(selected, corpus, out, split, audio_format, n_jobs), Path(AUDIO)
            names = {f"{PurePosixPath(name).with_suffix('')}.{audio_format}": who for name, who in names.items()}
        sizes.append(write_labelled(out, split, root, selected, names.__getitem__))
        speakers |= {spoken.audio.name: names[spoken.audio.name] for spoken in selected.kept}
    check_old_splits(out, there)
    write_speaker_table(out, speakers.items())
    label_vocabulary(out, vocabulary, n_jobs=n_jobs)
    return sizes


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.common_voice",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_corpus_options(parser, "clips, train.tsv, dev.tsv ... of one language")
    for split, table in TABLES.items():
        parser.add_argument(
            f"--{split}",
            nargs="?",
            default=table,
            metavar="TABLE",
            help=f"table of {split}; without a name: no such split (default: {table})",
        )
    parser.add_argument(
        "--audio-format",
        choices=(KEEP, *FORMATS),
        default=KEEP,
        help="mp3: the clips as they are; else decoded once, to 16 kHz (default: %(default)s)",
    )
    add_normalise_option(parser)
    add_length_options(parser)
    add_vocabulary_options(parser)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes, check; exit code 1 when something is wrong."""
    options = vars(build_parser().parse_args(argv))
    tables = {split: options.pop(split) for split in TABLES}
    level, normaliser = options.pop("check"), options.pop("normalise")
    vocabulary = vocabulary_options(options)
    with workers(options) as n_jobs:
        sizes = prepare_common_voice(
            **options, tables=tables, normaliser=normaliser, vocabulary=vocabulary, n_jobs=n_jobs
        )
    finish(sizes, check_labelled("s2t", options["out"], sizes, vocabulary, level))


if __name__ == "__main__":
    run(main)
