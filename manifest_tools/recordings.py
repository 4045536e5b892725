"""Manifests and text labels for your own recordings.

    python -m manifest_tools.recordings --audio corpus --transcripts corpus.tsv --normalise en --out data

Finds the audio below --audio, reads every header, and writes {train,valid,test}.tsv, with transcripts {split}.txt too,
and left_out.tsv: what was not used, and why. The split of a recording depends on its path only (or on one folder of
it: see --split-level), so adding recordings later never moves the others.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from speecht5_fairseq.constants import SAMPLE_RATE
from speecht5_fairseq.data.audio import audio_info
from speecht5_fairseq.data.errors import AudioError, listed
from speecht5_fairseq.data.text_normalisation import find_normaliser

from .command import add_jobs_option, run
from .files import SPLITS, read_lines, split_by_hash, write_lines
from .parallel import default_jobs, parallel_map
from .summary import SplitSize, size_table
from .updates import update_lines, update_manifest

logger = logging.getLogger(__name__)

SPLIT_SALT = "recordings-1"
EXTENSIONS = ("wav", "flac", "ogg", "mp3")
BESIDE = "beside"  # transcripts are NAME.txt beside NAME.wav


class Recording(NamedTuple):
    """One recording that is used."""

    name: str  # path below the audio folder
    samples: int  # at 16 kHz
    text: str | None


def find_audio(folder: Path, extensions: Sequence[str]) -> list[str]:
    """Paths below `folder` with one of the extensions, sorted. Raises FileNotFoundError when there is none."""
    wanted = {f".{extension.lower().lstrip('.')}" for extension in extensions}
    names = []
    for parent, _, files in os.walk(folder, followlinks=True):
        base = Path(parent).relative_to(folder)
        names += [(base / file).as_posix() for file in files if Path(file).suffix.lower() in wanted]
    if not names:
        raise FileNotFoundError(
            f"--audio {folder}: no file ends in {', '.join(sorted(wanted))}; check --audio and --ext"
        )
    return sorted(names)


def read_table(path: Path) -> dict[str, str]:
    """path -> text, from lines `path<TAB>text`. Raises ValueError naming file and line."""
    texts: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        name, tab, text = line.partition("\t")
        if not tab:
            raise ValueError(f"{path}:{number}: {line!r} is not a path, a tab and a text")
        if name in texts:
            raise ValueError(f"{path}:{number}: a second text for {name!r}; delete one")
        texts[name] = text
    return texts


def _texts_of(names: Sequence[str], audio: Path, transcripts: Path | None) -> dict[str, str] | None:
    """The raw text of every recording that has one; None when the recordings are to have none."""
    if transcripts is None:
        return None
    if str(transcripts) == BESIDE:
        beside = {name: (audio / name).with_suffix(".txt") for name in names}
        return {name: " ".join(read_lines(path)) for name, path in beside.items() if path.is_file()}
    table = read_table(transcripts)
    found = set(names)
    unknown = [name for name in table if name not in found]
    if unknown:
        raise ValueError(
            f"{transcripts}: {len(unknown)} of {len(table)} paths are not below {audio}, the first {unknown[0]!r}; "
            "write them relative to --audio, with their suffix"
        )
    return table


def _samples(name: str, audio: Path) -> int | str:
    """Samples at 16 kHz, or what is wrong with the file."""
    try:
        return audio_info(audio / name).samples
    except AudioError as error:
        return str(error)


def select_recordings(
    audio: Path,
    *,
    transcripts: Path | None = None,
    extensions: Sequence[str] = EXTENSIONS,
    normaliser: str = "none",
    min_seconds: float = 0.1,
    max_seconds: float = 30.0,
    n_jobs: int = 1,
) -> tuple[list[Recording], list[tuple[str, str]]]:
    """The recordings to use, and (path, reason) of the others. Raises AudioError listing files that cannot be read."""
    if not 0.025 <= min_seconds <= max_seconds:
        raise ValueError(f"--min-seconds {min_seconds:g} and --max-seconds {max_seconds:g}: give 0.025 <= min <= max")
    names = find_audio(audio, extensions)
    texts = _texts_of(names, audio, transcripts)
    normalise = find_normaliser(normaliser)
    kept, left_out, broken = [], [], []
    lengths = parallel_map(
        partial(_samples, audio=audio), names, total=len(names), n_jobs=n_jobs, description="headers"
    )
    for name, samples in zip(names, lengths, strict=True):
        text = None if texts is None else normalise(texts.get(name, ""))
        if isinstance(samples, str):
            broken.append(samples)
        elif not min_seconds * SAMPLE_RATE <= samples <= max_seconds * SAMPLE_RATE:
            seconds = samples / SAMPLE_RATE
            left_out.append((name, f"{seconds:.3f} s is not within {min_seconds:g} to {max_seconds:g} s"))
        elif text == "":
            left_out.append((name, "no transcript" if name not in (texts or ()) else "the transcript has no words"))
        else:
            kept.append(Recording(name, samples, text))
    if broken:
        raise AudioError(listed(broken))
    return kept, left_out


def split_key(name: str, level: int) -> str:
    """What decides the split of a path: all of it (level 0), or its `level`-th folder. ValueError if too short."""
    folders = PurePosixPath(name).parts[:-1]
    if level and level > len(folders):
        raise ValueError(f"--split-level {level}: {name!r} lies in {len(folders)} folders; choose 0 to {len(folders)}")
    return folders[level - 1] if level else name


def prepare_recordings(
    audio: Path,
    out: Path,
    *,
    transcripts: Path | None = None,
    extensions: Sequence[str] = EXTENSIONS,
    normaliser: str = "none",
    valid_fraction: float = 0.05,
    test_fraction: float = 0.05,
    split_level: int = 0,
    min_seconds: float = 0.1,
    max_seconds: float = 30.0,
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write manifests (and text labels) of the recordings below `audio` to `out`.

    transcripts: a table `path<TAB>text`, or "beside" for NAME.txt beside every recording; None writes manifests alone.
    normaliser: a name that `find_normaliser` knows. split_level: 0 splits recording by recording; n keeps all
    recordings of one n-th folder (a speaker, say) in one split. Returns the sizes of the splits that have rows.
    Run again on the same recordings, it leaves the manifests as they are, with what other tools added.
    Raises AudioError, FileNotFoundError or ValueError with the mend.
    """
    if min(valid_fraction, test_fraction) < 0 or valid_fraction + test_fraction >= 1:
        raise ValueError(
            f"--valid-fraction {valid_fraction:g} + --test-fraction {test_fraction:g} must be within 0 and 1"
        )
    kept, left_out = select_recordings(
        audio,
        transcripts=transcripts,
        extensions=extensions,
        normaliser=normaliser,
        min_seconds=min_seconds,
        max_seconds=max_seconds,
        n_jobs=n_jobs,
    )
    splits: dict[str, list[Recording]] = {split: [] for split in SPLITS}
    for recording in kept:
        key = split_key(recording.name, split_level)
        splits[split_by_hash(key, SPLIT_SALT, valid_fraction, test_fraction)].append(recording)
    if not splits["train"]:
        raise ValueError(
            f"no recording for the train split: {len(left_out)} of {len(left_out) + len(kept)} were left out"
        )
    write_lines(out / "left_out.tsv", (f"{name}\t{reason}" for name, reason in left_out))
    if left_out:
        logger.warning(
            "%d of %d left out, listed in %s", len(left_out), len(left_out) + len(kept), out / "left_out.tsv"
        )
    return _write(splits, audio.resolve(), out)


def _write(splits: dict[str, list[Recording]], root: Path, out: Path) -> list[SplitSize]:
    sizes = []
    for split, rows in splits.items():
        if not rows:
            logger.warning("no recording fell into the %s split: no %s.tsv", split, split)
            continue
        if rows[0].text is not None:
            update_lines(out / f"{split}.txt", lambda rows=rows: (row.text or "" for row in rows))
        update_manifest(out / f"{split}.tsv", root, lambda rows=rows: ((row.name, row.samples) for row in rows))
        sizes.append(SplitSize(split, len(rows), sum(row.samples for row in rows)))
    return sizes


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.recordings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--audio", type=Path, required=True, metavar="DIR", help="folder of recordings, searched deeply"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where manifests and labels go")
    parser.add_argument(
        "--transcripts",
        type=Path,
        metavar="FILE|beside",
        help="lines of path (relative to --audio), tab, text; or `beside`: NAME.txt beside every recording "
        "(default: no text)",
    )
    parser.add_argument("--ext", nargs="+", default=list(EXTENSIONS), help="suffixes (default: wav flac ogg mp3)")
    parser.add_argument(
        "--normalise",
        default="none",
        metavar="en|fr|es|none|MODULE:FUNCTION",
        help="write the text as it is spoken: numbers as words, no punctuation (default: none)",
    )
    parser.add_argument("--valid-fraction", type=float, default=0.05, help="share held out (default: %(default)s)")
    parser.add_argument("--test-fraction", type=float, default=0.05, help="share held out (default: %(default)s)")
    parser.add_argument(
        "--split-level",
        type=int,
        default=0,
        metavar="N",
        help="hold out whole N-th folders, say speakers (default: 0, files)",
    )
    parser.add_argument(
        "--min-seconds", type=float, default=0.1, help="leave out shorter ones (default: %(default)s s)"
    )
    parser.add_argument(
        "--max-seconds", type=float, default=30.0, help="leave out longer ones (default: %(default)s s)"
    )
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes."""
    options = vars(build_parser().parse_args(argv))
    n_jobs = options.pop("jobs") or default_jobs()
    extensions, normaliser = options.pop("ext"), options.pop("normalise")
    print(size_table(prepare_recordings(**options, extensions=extensions, normaliser=normaliser, n_jobs=n_jobs)))


if __name__ == "__main__":
    run(main)
