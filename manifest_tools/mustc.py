"""MuST-C for speech translation: segments of English talks, with their translations.

    python -m manifest_tools.mustc --corpus mustc --pair en-de --out mustc/st-de

The corpus (https://mt.fbk.eu/must-c/) has en-de/data/SPLIT/wav/TALK.wav, txt/SPLIT.yaml (talk, offset and duration of
each segment) and txt/SPLIT.en, SPLIT.de, one line a segment. Each segment becomes OUT/audio/SPLIT/TALK_NNNN.flac, or
with --audio-format none stays where it is: the rows name TALK.wav:START:SAMPLES, at 16 kHz.
OUT/SPLIT.txt has the translations, OUT/transcripts/SPLIT.txt what is said (a --label-dir for recognition), and
OUT/vocabulary a sentencepiece model of the training translations. The splits dev and tst-COMMON are called valid and
test. Segments that cannot be cut, because their talk is broken say, are left out and listed. A stopped run goes on with
the segments that are missing. At the end everything is checked.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import yaml

from speecht5_fairseq.constants import SAMPLE_RATE
from speecht5_fairseq.data.text_normalisation import find_normaliser

from .command import add_jobs_option, run, workers
from .corpora import add_corpus_options, add_normalise_option, existing_folder, finish, split_size
from .files import read_lines
from .label_vocabulary import (
    VocabularyOptions,
    add_vocabulary_options,
    check_labelled,
    check_vocabulary,
    label_vocabulary,
    vocabulary_options,
)
from .left_out import LeftOut, write_left_out
from .segments import FORMATS, UNCUT, Folders, Segment, check_format, cut_segments
from .summary import SplitSize
from .updates import update_lines, update_manifest

SPLITS = ("train", "dev", "tst-COMMON")
NAMES = {"dev": "valid", "tst-COMMON": "test"}  # other splits keep theirs
AUDIO = "audio"  # below the output, and the root of the manifests
PIECES = VocabularyOptions(model_type="unigram", size=8000)  # of the translations
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a quarter of a million entries: minutes without libyaml


class Translated(NamedTuple):
    """A stretch of a talk, named TALK_NNNN by its number within the talk, and its texts."""

    segment: Segment
    transcript: str
    translation: str
    speaker: str


def _number(entry: Any, key: str, where: str) -> int:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, (int, float)) or value < 0:
        raise ValueError(f"{where}: no {key} in seconds ({entry!r}); copy the file again")
    return round(value * SAMPLE_RATE)


def read_segments(data: Path, split: str, source: str, target: str) -> list[Translated]:
    """The segments of data/SPLIT in their order. Raises ValueError or FileNotFoundError naming file and entry."""
    text = existing_folder(data / split, "--corpus, --pair, --splits", "the split: wav and txt") / "txt"
    place = text / f"{split}.yaml"
    with open(place, encoding="utf-8") as file:
        try:
            entries = yaml.load(file, Loader=YAML_LOADER) or []  # noqa: S506  (a safe loader)
        except yaml.YAMLError as error:
            raise ValueError(f"{place}: not YAML ({str(error).splitlines()[0]}); copy the file again") from error
    lines = [list(read_lines(text / f"{split}.{language}")) for language in (source, target)]
    if not isinstance(entries, list) or {len(entries)} != {len(rows) for rows in lines}:
        counts = f"{len(lines[0])} lines in {split}.{source} and {len(lines[1])} in {split}.{target}"
        raise ValueError(f"{place}: {len(entries)} segments, but {counts}; copy the three files again")
    segments, counted = [], dict[str, int]()
    for number, (entry, transcript, translation) in enumerate(zip(entries, *lines, strict=True), start=1):
        where = f"{place}, entry {number}"
        start, samples = (_number(entry, key, where) for key in ("offset", "duration"))
        talk = entry.get("wav")
        if not isinstance(talk, str):
            raise ValueError(f"{where}: no wav ({entry!r}); copy the file again")
        counted[talk] = counted.get(talk, -1) + 1
        name = f"{PurePosixPath(talk).stem}_{counted[talk]:04d}"
        speaker = str(entry.get("speaker_id") or "")
        segments.append(Translated(Segment(talk, name, start, samples), transcript, translation, speaker))
    return segments


def prepare_split(
    data: Path, split: str, languages: tuple[str, str], out: Path, *, audio_format: str, normaliser: str, n_jobs: int
) -> SplitSize:
    """Cut one split and write its manifest, its texts and the list of what is left out. Returns its size."""
    name, normalise = NAMES.get(split, split), find_normaliser(normaliser)
    segments = [
        row._replace(transcript=normalise(row.transcript), translation=normalise(row.translation))
        for row in read_segments(data, split, *languages)
    ]
    listed_at = (data / split / f"txt/{split}.yaml").stat().st_mtime_ns
    folders = Folders(data / split / "wav", out / AUDIO / name, audio_format, listed_at)
    left_out = [LeftOut(row.segment.name, "no translation") for row in segments if not row.translation]
    translated = [row for row in segments if row.translation]
    kept: list[tuple[Translated, int]] = []
    cut = cut_segments([row.segment for row in translated], folders, name, n_jobs)
    for row, length in zip(translated, cut, strict=True):
        if isinstance(length, str):
            left_out.append(LeftOut(row.segment.name, length))
        else:
            kept.append((row, length))
    write_left_out(out, name, left_out)
    if not kept:
        first = f"; the first: {': '.join(left_out[0])}" if left_out else ""
        raise ValueError(f"{data / split}: no segment of {len(segments)} can be used{first}")
    update_lines(out / "transcripts" / f"{name}.txt", lambda: (row.transcript for row, _ in kept))
    update_lines(out / f"{name}.txt", lambda: (row.translation for row, _ in kept))
    root, below = (folders.source, "") if audio_format == UNCUT else (Path(AUDIO), f"{name}/")
    rows = [(f"{below}{folders.row_path(row.segment, length)}", length) for row, length in kept]
    update_manifest(out / f"{name}.tsv", root, lambda: rows)
    speakers = {row.speaker for row, _ in kept if row.speaker}
    return split_size(name, (length for _, length in kept), left_out, speakers or None)


def _languages(pair: str, splits: Sequence[str], audio_format: str, vocabulary: VocabularyOptions) -> tuple[str, str]:
    """The two languages; before hours of cutting, whether all will be there at the end."""
    match = re.fullmatch(r"([a-z]+)-([a-z]+)", pair)
    if match is None:
        raise ValueError(f"--pair {pair!r}: write the two languages as SOURCE-TARGET, en-de say")
    check_format(audio_format, (*FORMATS, UNCUT))
    check_vocabulary(vocabulary, splits)
    return match[1], match[2]


def prepare_mustc(
    corpus: Path,
    pair: str,
    out: Path,
    *,
    splits: Sequence[str] = SPLITS,
    audio_format: str = "flac",
    normaliser: str = "none",
    vocabulary: VocabularyOptions = PIECES,
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write out/SPLIT.tsv and .txt, left_out/SPLIT.tsv, transcripts/SPLIT.txt, audio/SPLIT, vocabulary and dict.txt.

    corpus: the folder of en-de, en-fr ...; pair: which of them. splits: folders of its data. Returns the sizes.
    Raises FileNotFoundError or ValueError with the mend.
    """
    languages = _languages(pair, splits, audio_format, vocabulary)
    data = existing_folder(corpus / pair / "data", f"--corpus {corpus} --pair {pair}", "the splits").resolve()
    out = out.resolve()
    options = {"audio_format": audio_format, "normaliser": normaliser, "n_jobs": n_jobs}
    sizes = [prepare_split(data, split, languages, out, **options) for split in splits]
    label_vocabulary(out, vocabulary, n_jobs=n_jobs)
    return sizes


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.mustc", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add_corpus_options(parser, "the folders en-de, en-fr ...")
    add("--pair", required=True, metavar="SOURCE-TARGET", help="which of them: en-de, say")
    add("--splits", nargs="+", default=list(SPLITS), metavar="SPLIT",
        help=f"folders of SOURCE-TARGET/data (default: {' '.join(SPLITS)}; tst-HE is another)")  # fmt: skip
    add("--audio-format", choices=(*FORMATS, UNCUT), default="flac",
        help="of the segments; none: they are not cut out of their talks (default: %(default)s)")  # fmt: skip
    add_normalise_option(parser)  # published scores are of the text as it is
    add_vocabulary_options(parser, model_type=PIECES.model_type, size=PIECES.size)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes, check; exit code 1 when something is wrong."""
    options = vars(build_parser().parse_args(argv))
    level, normaliser = options.pop("check"), options.pop("normalise")
    vocabulary = vocabulary_options(options)
    with workers(options) as n_jobs:
        sizes = prepare_mustc(**options, vocabulary=vocabulary, normaliser=normaliser, n_jobs=n_jobs)
    finish(sizes, check_labelled("s2t", options["out"], sizes, vocabulary, level))


if __name__ == "__main__":
    run(main)
