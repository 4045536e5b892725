"""Manifests and text labels for your own recordings.

    python -m manifest_tools.recordings --audio corpus --transcripts corpus.tsv --normalise en --out data
    python -m manifest_tools.recordings --audio corpus --transcripts corpus.csv --path-column file --text-column text \\
        --speaker-column who --vocabulary vocabulary --out data

Finds the audio below --audio, reads every header, and writes {train,valid,test}.tsv, with transcripts {split}.txt too,
and left_out/{split}.tsv: what was not used, and why. The split of a recording depends on its path only (or on its
speaker, or one folder of it: see --split-level), so adding recordings later never moves the others; a table may also
name it. At the end everything is checked.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from speecht5_fairseq.data.text_normalisation import find_normaliser

from .command import add_jobs_option, run, workers
from .corpora import (
    add_length_options,
    add_normalise_option,
    add_out_options,
    check_lengths,
    contents,
    existing_folder,
    finish,
)
from .files import SPLITS, read_lines, split_by_hash
from .headers import measure
from .label_vocabulary import NO_VOCABULARY, VocabularyOptions, check_labelled, check_vocabulary, label_vocabulary
from .labelled import Lengths, Selection, select_spoken, write_labelled, write_speaker_table
from .left_out import LeftOut, write_left_out
from .summary import SplitSize
from .tables import Columns, Entry, add_column_options, column_options, read_entries
from .updates import check_old_splits

logger = logging.getLogger(__name__)

SPLIT_SALT = "recordings-1"
EXTENSIONS = ("wav", "flac", "ogg", "mp3")
BESIDE = "beside"  # transcripts are NAME.txt beside NAME.wav


def find_audio(folder: Path, extensions: Sequence[str]) -> list[str]:
    """Paths below `folder` with one of the extensions, sorted. Raises FileNotFoundError when there is none."""
    wanted = {f".{extension.lower().lstrip('.')}" for extension in extensions}
    names = []
    for parent, _, files in os.walk(folder, followlinks=True):
        base = Path(parent).relative_to(folder)
        names += [(base / file).as_posix() for file in files if Path(file).suffix.lower() in wanted]
    if not names:
        raise FileNotFoundError(
            f"--audio {folder}: no file ends in {', '.join(sorted(wanted))}. {contents(folder)}; check both, and --ext"
        )
    return sorted(names)


def _read_table(path: Path) -> dict[str, Entry]:
    """path -> text, from lines `path<TAB>text`. Raises ValueError naming file and line."""
    entries: dict[str, Entry] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        name, tab, text = line.partition("\t")
        if not tab:
            raise ValueError(f"{path}:{number}: {line!r} is not a path, a tab and a text")
        if name in entries:
            raise ValueError(f"{path}:{number}: a second text for {name!r}; delete one")
        entries[name] = Entry(text, None, None)
    return entries


def _read_beside(audio: Path, names: Sequence[str]) -> dict[str, Entry]:
    paths = {name: (audio / name).with_suffix(".txt") for name in names}
    return {name: Entry(" ".join(read_lines(path)), None, None) for name, path in paths.items() if path.is_file()}


def read_transcripts(names: Sequence[str], audio: Path, transcripts: Path, columns: Columns | None) -> dict[str, Entry]:
    """What the transcripts say of each recording. Raises ValueError when no path of a table is one of `names`."""
    if str(transcripts) == BESIDE:
        return _read_beside(audio, names)
    entries = _read_table(transcripts) if columns is None else read_entries(transcripts, columns)
    if not entries.keys() & set(names):
        first = f", the first {next(iter(entries))!r}; there is {names[0]!r}" if entries else ""
        raise ValueError(
            f"{transcripts}: none of its {len(entries)} paths is below {audio}{first}; write them relative to --audio, "
            "with their suffix"
        )
    return entries


def split_key(name: str, level: int) -> str:
    """What decides the split of a path: all of it (level 0), or its `level`-th folder. ValueError if too short."""
    folders = PurePosixPath(name).parts[:-1]
    if level and level > len(folders):
        raise ValueError(f"--split-level {level}: {name!r} lies in {len(folders)} folders; choose 0 to {len(folders)}")
    return folders[level - 1] if level else name


class Holding(NamedTuple):
    """How recordings are held out: shares, and what stays together (see `split_key`)."""

    valid: float = 0.05
    test: float = 0.05
    level: int = 0

    def split_of(self, name: str, entry: Entry | None) -> str:
        """The split of a recording: its table's, else by its speaker's name, else by its path."""
        if entry is not None and entry.split is not None:
            return entry.split
        speaker = None if entry is None or self.level else entry.speaker
        return split_by_hash(speaker or split_key(name, self.level), SPLIT_SALT, self.valid, self.test)


def prepare_recordings(
    audio: Path,
    out: Path,
    *,
    transcripts: Path | None = None,
    columns: Columns | None = None,
    extensions: Sequence[str] = EXTENSIONS,
    normaliser: str = "none",
    valid_fraction: float = 0.05,
    test_fraction: float = 0.05,
    split_level: int = 0,
    min_seconds: float = 0.1,
    max_seconds: float = 30.0,
    vocabulary: VocabularyOptions = NO_VOCABULARY,
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write manifests (and text labels) of the recordings below `audio` to `out`, and left_out/SPLIT.tsv.

    transcripts: a table, or "beside" for NAME.txt beside every recording; None writes manifests alone. columns: of a
    table whose first line names them; None: lines `path<TAB>text`. normaliser: a name that `find_normaliser` knows.
    split_level: 0 splits recording by recording, or by the table's speakers; n keeps all recordings of one n-th folder
    (a speaker, say) in one split. vocabulary: gives the texts their dict.txt. Returns the sizes of the splits that have
    rows. Run again on the same recordings, it leaves the manifests as they are, with what other tools added.
    Raises FileNotFoundError or ValueError with the mend.
    """
    _check_options(valid_fraction, test_fraction, transcripts, columns, vocabulary)
    check_lengths(min_seconds, max_seconds)
    root, normalise = existing_folder(audio, "--audio", "the recordings").resolve(), find_normaliser(normaliser)
    names = find_audio(root, extensions)
    entries = {} if transcripts is None else read_transcripts(names, root, transcripts, columns)
    measured, found = measure(root, names, out, "recordings", n_jobs=n_jobs), set(names)
    missing = [LeftOut(name, "no such file") for name in entries if name not in found]
    measured.broken.extend(missing)
    with_text = transcripts is not None and (columns is None or columns.text is not None)

    def text_of(name: str) -> str | None:
        return entries[name].text if name in entries else None

    lengths = Lengths(min_seconds, max_seconds)
    selected = select_spoken(measured, lengths, text_of if with_text else None, normalise)
    if transcripts is not None and not with_text:
        selected = _named(selected, entries)
    holding = Holding(valid_fraction, test_fraction, split_level)
    sizes = _write(selected, holding, entries, root, out)
    check_old_splits(out, (size.split for size in sizes))
    speakers = {name: entry.speaker for name, entry in entries.items() if entry.speaker is not None}
    if speakers:
        kept = (spoken.audio.name for spoken in selected.kept)
        write_speaker_table(out, ((name, speakers[name]) for name in kept if name in speakers))
    label_vocabulary(out, vocabulary, n_jobs=n_jobs)
    return sizes


def _check_options(
    valid: float, test: float, transcripts: Path | None, columns: Columns | None, vocabulary: VocabularyOptions
) -> None:
    if min(valid, test) < 0 or valid + test >= 1:
        raise ValueError(f"--valid-fraction {valid:g} + --test-fraction {test:g} must be within 0 and 1")
    table = transcripts is not None and str(transcripts) != BESIDE
    if columns is not None and not table:
        raise ValueError("--path-column and its kin have no effect without a table: give it as --transcripts")
    with_text = transcripts is not None and (columns is None or columns.text is not None)
    if vocabulary.wanted and not with_text:
        raise ValueError("--vocabulary has no effect without texts: give --transcripts, with --text-column for a table")
    check_vocabulary(vocabulary, SPLITS)


def _named(selected: Selection, entries: Mapping[str, Entry]) -> Selection:
    """What is left of a selection when recordings that a table without texts does not name go."""
    kept = [spoken for spoken in selected.kept if spoken.audio.name in entries]
    absent = [spoken.audio.name for spoken in selected.kept if spoken.audio.name not in entries]
    return Selection(kept, [*selected.left_out, *(LeftOut(name, "not in the table") for name in absent)])


def _write(
    selected: Selection, holding: Holding, entries: Mapping[str, Entry], root: Path, out: Path
) -> list[SplitSize]:
    splits = {split: Selection([], []) for split in SPLITS}
    for spoken in selected.kept:
        splits[holding.split_of(spoken.audio.name, entries.get(spoken.audio.name))].kept.append(spoken)
    for row in selected.left_out:
        splits[holding.split_of(row.name, entries.get(row.name))].left_out.append(row)
    speakers = {name: entry.speaker for name, entry in entries.items() if entry.speaker}
    sizes = []
    for split, found in splits.items():
        if found.kept or split == "train":
            sizes.append(write_labelled(out, split, root, found, speakers.get if speakers else None))
        else:
            logger.warning("no recording fell into the %s split: no %s.tsv", split, split)
            write_left_out(out, split, found.left_out)
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
    add_out_options(parser)
    parser.add_argument(
        "--transcripts",
        type=Path,
        metavar="FILE|beside",
        help="a table: lines of path (relative to --audio), tab, text, or any columns (--path-column ...); `beside`: "
        "NAME.txt beside every recording (default: no text)",
    )
    add_column_options(parser)
    parser.add_argument("--ext", nargs="+", default=list(EXTENSIONS), help="suffixes (default: wav flac ogg mp3)")
    add_normalise_option(parser)
    parser.add_argument("--valid-fraction", type=float, default=0.05, help="share held out (default: %(default)s)")
    parser.add_argument("--test-fraction", type=float, default=0.05, help="share held out (default: %(default)s)")
    parser.add_argument(
        "--split-level",
        type=int,
        default=0,
        metavar="N",
        help="hold out whole N-th folders, say speakers (default: 0, files)",
    )
    add_length_options(parser)
    parser.add_argument(
        "--vocabulary",
        type=Path,
        metavar="DIR",
        help="holds the spm.model and dict.txt of the texts, which are checked too (default: the audio alone is)",
    )
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes, check; exit code 1 when something is wrong."""
    options = vars(build_parser().parse_args(argv))
    level, columns = options.pop("check"), column_options(options)
    extensions, normaliser, folder = options.pop("ext"), options.pop("normalise"), options.pop("vocabulary")
    vocabulary = VocabularyOptions(folder) if folder else NO_VOCABULARY
    options |= {"extensions": extensions, "normaliser": normaliser, "columns": columns, "vocabulary": vocabulary}
    with workers(options) as n_jobs:
        sizes = prepare_recordings(**options, n_jobs=n_jobs)
    finish(sizes, check_labelled("s2t", options["out"], sizes, vocabulary, level))


if __name__ == "__main__":
    run(main)
