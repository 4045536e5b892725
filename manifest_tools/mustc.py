"""MuST-C for speech translation: segments of English talks, with their translations.

    python -m manifest_tools.mustc --corpus mustc --pair en-de --out mustc/st-de

The corpus (https://mt.fbk.eu/must-c/) has en-de/data/SPLIT/wav/TALK.wav, txt/SPLIT.yaml (talk, offset and duration of
each segment) and txt/SPLIT.en, SPLIT.de, one line a segment. Each segment becomes OUT/audio/SPLIT/TALK_NNNN.flac.
OUT/SPLIT.txt has the translations, OUT/transcripts/SPLIT.txt what is said (a --label-dir for recognition), and
OUT/vocabulary a sentencepiece model of the training translations. The splits dev and tst-COMMON are called valid and
test. A stopped run goes on with the segments that are missing. At the end everything is checked.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import yaml

from speecht5_fairseq.constants import ENCODER_WINDOW, SAMPLE_RATE
from speecht5_fairseq.data.audio import audio_info, read_audio, write_audio
from speecht5_fairseq.data.errors import AudioError, listed
from speecht5_fairseq.data.text_normalisation import find_normaliser

from .check import Findings, check_data, summary
from .command import add_jobs_option, run
from .corpora import LeftOut, existing_folder, write_left_out
from .files import read_lines
from .parallel import default_jobs, parallel_map
from .summary import SplitSize, size_table
from .updates import update_lines, update_manifest
from .vocabulary import MODEL_TYPES, copy_dictionary, train_vocabulary

SPLITS = ("train", "dev", "tst-COMMON")
NAMES = {"dev": "valid", "tst-COMMON": "test"}  # other splits keep theirs
AUDIO = "audio"  # below the output, and the root of the manifests
FORMATS = ("flac", "wav")
END_TOLERANCE = SAMPLE_RATE // 2  # samples that a segment may end after its talk: offsets are rounded
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a quarter of a million entries: minutes without libyaml


class Segment(NamedTuple):
    """A stretch of a talk, in samples at 16 kHz, and its texts."""

    talk: str  # file name
    name: str  # TALK_NNNN, counted within the talk
    start: int
    samples: int
    transcript: str
    translation: str


class Folders(NamedTuple):
    """Where the segments of a split come from and go to."""

    wav: Path
    out: Path
    suffix: str
    listed: int  # when the list of segments was written (ns): what was cut before is cut again


def _number(entry: Any, key: str, where: str) -> int:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, (int, float)) or value < 0:
        raise ValueError(f"{where}: no {key} in seconds ({entry!r}); copy the file again")
    return round(value * SAMPLE_RATE)


def read_segments(data: Path, split: str, source: str, target: str) -> list[Segment]:
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
        segments.append(Segment(talk, name, start, samples, transcript, translation))
    return segments


def _is_cut(target: Path, since: int, samples: int) -> bool:
    return target.is_file() and target.stat().st_mtime_ns >= since and audio_info(target).samples == samples


def _cut_talk(segments: Sequence[Segment], folders: Folders) -> list[int | str]:
    """Write the segments of one talk that are not there yet: the samples of each, or why it cannot be used.

    Raises AudioError when the talk cannot be read.
    """
    talk = folders.wav / segments[0].talk
    total, cut = audio_info(talk).samples, list[int | str]()
    since = max(folders.listed, talk.stat().st_mtime_ns)
    for segment in segments:
        samples = min(segment.samples, total - segment.start)
        target = folders.out / f"{segment.name}.{folders.suffix}"
        if segment.samples - samples > END_TOLERANCE:
            end = (segment.start + segment.samples) / SAMPLE_RATE
            cut.append(f"ends at {end:.2f} s, its talk at {total / SAMPLE_RATE:.2f} s")
        elif samples < ENCODER_WINDOW:
            cut.append(f"{max(samples, 0)} samples, too short for one encoder frame ({ENCODER_WINDOW})")
        else:
            if not _is_cut(target, since, samples):
                write_audio(target, read_audio(talk, start=segment.start, frames=samples))
            cut.append(samples)
    return cut


def _try_talk(segments: Sequence[Segment], folders: Folders) -> list[int | str] | str:
    try:
        return _cut_talk(segments, folders)
    except AudioError as error:
        return str(error)


def cut_segments(segments: Sequence[Segment], folders: Folders, split: str, n_jobs: int) -> list[int | str]:
    """Cut all segments, talk by talk: the samples of each, or why it cannot be used.

    Raises AudioError that lists the talks which cannot be read.
    """
    order = sorted(range(len(segments)), key=lambda index: segments[index].talk)
    talks = [list(rows) for _, rows in groupby((segments[index] for index in order), key=lambda row: row.talk)]
    work = partial(_try_talk, folders=folders)
    done = list(parallel_map(work, talks, total=len(talks), n_jobs=n_jobs, description=f"cut {split}", unit="talk"))
    broken = [result for result in done if isinstance(result, str)]
    if broken:
        raise AudioError(listed(broken))
    results = (result for talk in done for result in talk)
    return [result for _, result in sorted(zip(order, results, strict=True), key=lambda pair: pair[0])]


def prepare_split(
    data: Path, split: str, languages: tuple[str, str], out: Path, *, audio_format: str, normaliser: str, n_jobs: int
) -> tuple[SplitSize, list[LeftOut]]:
    """Cut one split and write its manifest and texts. Returns its size, and (segment, reason) of what is left out."""
    name, normalise = NAMES.get(split, split), find_normaliser(normaliser)
    segments = [
        segment._replace(transcript=normalise(segment.transcript), translation=normalise(segment.translation))
        for segment in read_segments(data, split, *languages)
    ]
    listed_at = (data / split / f"txt/{split}.yaml").stat().st_mtime_ns
    folders = Folders(data / split / "wav", out / AUDIO / name, audio_format, listed_at)
    left_out = [(f"{split}/{segment.name}", "no translation") for segment in segments if not segment.translation]
    translated = [segment for segment in segments if segment.translation]
    rows, texts = [], []
    for segment, length in zip(translated, cut_segments(translated, folders, name, n_jobs), strict=True):
        if isinstance(length, str):
            left_out.append((f"{split}/{segment.name}", length))
        else:
            rows.append((f"{name}/{segment.name}.{audio_format}", length))
            texts.append((segment.transcript, segment.translation))
    if not rows:
        first = f"; the first: {': '.join(left_out[0])}" if left_out else ""
        raise ValueError(f"{data / split}: no segment of {len(segments)} can be used{first}")
    update_lines(out / "transcripts" / f"{name}.txt", lambda: (transcript for transcript, _ in texts))
    update_lines(out / f"{name}.txt", lambda: (translation for _, translation in texts))
    update_manifest(out / f"{name}.tsv", AUDIO, lambda: rows)
    return SplitSize(name, len(rows), sum(length for _, length in rows)), left_out


def _check_options(pair: str, splits: Sequence[str], audio_format: str, vocabulary: Path | None) -> tuple[str, str]:
    """The two languages; before hours of cutting, whether all will be there at the end."""
    match = re.fullmatch(r"([a-z]+)-([a-z]+)", pair)
    if match is None:
        raise ValueError(f"--pair {pair!r}: write the two languages as SOURCE-TARGET, en-de say")
    if audio_format not in FORMATS:
        raise ValueError(f"--audio-format {audio_format!r}: choose one of {', '.join(FORMATS)}")
    if vocabulary is None and "train" not in splits:
        raise ValueError("--splits without train has no text for a vocabulary: add train, or give --vocabulary")
    missing = [name for name in ("spm.model", "dict.txt") if vocabulary and not (vocabulary / name).is_file()]
    if missing:
        raise FileNotFoundError(f"--vocabulary {vocabulary}: no {' and no '.join(missing)} in it; give their folder")
    return match[1], match[2]


def prepare_mustc(
    corpus: Path,
    pair: str,
    out: Path,
    *,
    splits: Sequence[str] = SPLITS,
    audio_format: str = "flac",
    normaliser: str = "none",
    vocabulary: Path | None = None,
    model_type: str = "unigram",
    size: int | None = 8000,
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write out/SPLIT.tsv and .txt, transcripts/SPLIT.txt, audio/SPLIT, segments.left_out.tsv, vocabulary and dict.txt.

    corpus: the folder of en-de, en-fr ...; pair: which of them. splits: folders of its data. vocabulary: a folder with
    spm.model and dict.txt to use (the pre-training's, say) in place of a new one of `model_type` and `size`. Returns
    the sizes. Raises FileNotFoundError, AudioError or ValueError with the mend.
    """
    languages = _check_options(pair, splits, audio_format, vocabulary)
    data = existing_folder(corpus / pair / "data", f"--corpus {corpus} --pair {pair}", "the splits").resolve()
    out = out.resolve()
    options = {"audio_format": audio_format, "normaliser": normaliser, "n_jobs": n_jobs}
    prepared = [prepare_split(data, split, languages, out, **options) for split in splits]
    write_left_out(out, "segments", [row for _, left_out in prepared for row in left_out])
    if vocabulary is None:
        train_vocabulary(
            [out / "train.txt"], out / "vocabulary", model_type=model_type, size=size, label_dirs=[out], n_jobs=n_jobs
        )
    else:
        copy_dictionary((vocabulary / "dict.txt").read_text(encoding="utf-8"), out / "dict.txt")
    return [split_size for split_size, _ in prepared]


def check_mustc(out: Path, sizes: Sequence[SplitSize], vocabulary: Path | None, level: str) -> Findings:
    """What the training task would say of the prepared data."""
    spm_model = (vocabulary or out / "vocabulary") / "spm.model"
    return check_data("s2t", out, splits=[size.split for size in sizes], spm_model=spm_model, level=level)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.mustc", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--corpus", type=Path, required=True, metavar="DIR", help="holds the folders en-de, en-fr ...")
    add("--pair", required=True, metavar="SOURCE-TARGET", help="which of them: en-de, say")
    add("--out", type=Path, required=True, metavar="DIR", help="where manifests, texts, segments, vocabulary go")
    add("--splits", nargs="+", default=list(SPLITS), metavar="SPLIT",
        help=f"folders of SOURCE-TARGET/data (default: {' '.join(SPLITS)}; tst-HE is another)")  # fmt: skip
    add("--audio-format", choices=FORMATS, default="flac", help="of the segments (default: %(default)s)")
    add("--normalise", default="none", metavar="none|de|...",
        help="as manifest_tools.recordings; published scores are of the text as it is (default: none)")  # fmt: skip
    add("--vocabulary", type=Path, metavar="DIR",
        help="holds the spm.model and dict.txt to use (default: a new one of the training translations)")  # fmt: skip
    add("--type", choices=MODEL_TYPES, default=None, help="of the new vocabulary (default: unigram)")
    add("--size", type=int, default=None, help="pieces of the new vocabulary (default: 8000; char: all)")
    add("--check", choices=("full", "quick"), default="full",
        help="at the end: full decodes every segment, quick 256 of each split (default: full)")  # fmt: skip
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes, check; exit code 1 when something is wrong."""
    options = vars(build_parser().parse_args(argv))
    level, n_jobs, normaliser = options.pop("check"), options.pop("jobs") or default_jobs(), options.pop("normalise")
    model_type, size = options.pop("type"), options.pop("size")
    if options["vocabulary"] is not None and (model_type or size):
        raise ValueError("--type and --size have no effect with --vocabulary: leave them out")
    model_type = model_type or "unigram"
    size = size or (None if model_type == "char" else 8000)
    sizes = prepare_mustc(**options, model_type=model_type, size=size, normaliser=normaliser, n_jobs=n_jobs)
    print(size_table(sizes))
    findings = check_mustc(options["out"], sizes, options["vocabulary"], level)
    print(summary(findings))
    if findings.total_errors:
        sys.exit(1)


if __name__ == "__main__":
    run(main)
