"""The vector of the voice that a row is to be spoken in, for manifests whose last column is a speaker vector.

Either the target's manifest has the column, or the vectors are made by `manifest_tools.speaker_vectors`, one for each
recording or the mean of each speaker.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from speecht5_fairseq.data.errors import AudioError, listed
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest

from .files import write_lines
from .speaker_vectors import prepare_speaker_vectors, speaker_by_level, speakers_by_table, write_vectors


class Audio(NamedTuple):
    """One recording: its path below its corpus (or as its manifest writes it), and its samples at 16 kHz."""

    name: str
    samples: int


class VectorOptions(NamedTuple):
    """How vectors are made: by which extractor, and which rows share one (see `manifest_tools.speaker_vectors`)."""

    extractor: str = "statistics"
    speaker_level: int | None = None
    speaker_table: Path | None = None

    def speaker_of(self) -> Callable[[str], str] | None:
        """A row's path -> its speaker; None when every recording has a vector of its own. ValueError for both ways."""
        if self.speaker_level is not None and self.speaker_table is not None:
            raise ValueError("--speaker-level and --speaker-table both name the speakers: give one")
        if self.speaker_level is not None:
            level = self.speaker_level
            return lambda name: speaker_by_level(name, level)
        if self.speaker_table is None:
            return None
        table, path = speakers_by_table(self.speaker_table), self.speaker_table

        def look_up(name: str) -> str:
            if name not in table:
                raise ValueError(f"{path}: no speaker for {name!r}; add the line `{name}<TAB>SPEAKER`")
            return table[name]

        return look_up


def make_vectors(
    audio: Mapping[str, tuple[Path, Sequence[Audio]]],
    out: Path,
    *,
    extractor: str = "statistics",
    speaker_of: Callable[[str], str] | None = None,
    n_jobs: int = 1,
) -> dict[str, dict[str, Path | str]]:
    """Write vectors below `out` and return their absolute paths: split -> recording's name -> vector.

    audio: split -> root, and recordings below it. speaker_of: name -> speaker, whose recordings share their mean vector
    over all splits given; None: every recording has its own. Vectors that are there are not made again. A recording
    that cannot be decoded, or is silent, has in place of its path a text that says so.
    Raises ValueError with the mend, when the extractor is at fault.
    """
    # A split is the first folder of its names, by way of a link to its root: recordings of one name in two splits must
    # not share a vector file.
    with tempfile.TemporaryDirectory() as temporary:
        folder, speakers = Path(temporary).resolve(), []
        for split, (root, rows) in audio.items():
            (folder / split).symlink_to(root.resolve(), target_is_directory=True)
            names = [row.name if Path(row.name).is_absolute() else f"{split}/{row.name}" for row in rows]
            write_manifest(folder / f"{split}.tsv", folder, zip(names, (row.samples for row in rows), strict=True))
            if speaker_of:
                speakers += [f"{name}\t{speaker_of(row.name)}" for name, row in zip(names, rows, strict=True)]
        table = folder / "speakers" if speaker_of else None
        if table:
            write_lines(table, speakers)
        columns = JOB_COLUMNS["pretrain"]  # of names that were found below their root, or checked by `_audio`
        manifests = [Manifest.open(folder / f"{split}.tsv", columns, outside=True) for split in audio]
        problems = write_vectors(manifests, out.resolve(), extractor, n_jobs)
        named = [file for file, found in zip(manifests, problems, strict=True) if _keep_good(file, found)]
        files = [manifest.file for manifest in named]
        options = {"extractor": extractor, "speaker_table": table, "n_jobs": n_jobs}
        prepare_speaker_vectors(files, out.resolve(), allow_outside_root=True, **options)
        made: dict[str, dict[str, Path | str]] = {}
        for (split, (root, rows)), found in zip(audio.items(), problems, strict=True):
            paths = iter(_vector_paths(folder / f"{split}.tsv") if None in found else ())
            made[split] = {
                row.name: next(paths) if why is None else why.replace(str(folder / split), str(root))
                for row, why in zip(rows, found, strict=True)
            }
        return made


def _keep_good(manifest: Manifest, problems: Sequence[str | None]) -> bool:
    """Write the manifest again with the rows that have no problem; False where none is left."""
    rows = [list(manifest.row(index).values()) for index, why in enumerate(problems) if why is None]
    if len(rows) < len(problems):
        write_manifest(manifest.file, manifest.lines[0], rows)
    return bool(rows)


def _vector_paths(path: Path) -> list[Path]:
    manifest = Manifest.open(path, JOB_COLUMNS["t2s"])
    return [manifest.path(index, "speaker").resolve() for index in range(len(manifest))]


def unusable(why: str) -> str:
    """The reason to leave a recording out that has no vector."""
    return f"no speaker vector ({why})"


def target_vectors(
    manifests: Mapping[str, Manifest], out: Path, options: VectorOptions | None, n_jobs: int = 1
) -> dict[str, list[Path]]:
    """Absolute path of each row's speaker vector: split -> paths. With `options` they are made, below `out`; otherwise
    the manifests have the column.

    Raises ManifestError or ValueError with the mend.
    """
    if options is not None:
        audio = {split: (manifest.root, _audio(manifest)) for split, manifest in manifests.items()}
        speaker_of = options.speaker_of()
        made = make_vectors(audio, out, extractor=options.extractor, speaker_of=speaker_of, n_jobs=n_jobs)
        broken = [why for found in made.values() for why in found.values() if isinstance(why, str)]
        if broken:
            raise AudioError(listed(broken))
        return {split: [Path(found[row.name]) for row in audio[split][1]] for split, found in made.items()}
    for manifest in manifests.values():
        if not manifest.has("speaker"):
            raise ValueError(
                f"{manifest.file} has no third column of speaker vectors; give --speaker-vectors, or run `python -m "
                f"manifest_tools.speaker_vectors --manifests {manifest.file} --out DIR` first"
            )
    return {
        split: [manifest.path(index, "speaker").resolve() for index in range(len(manifest))]
        for split, manifest in manifests.items()
    }


def _audio(manifest: Manifest) -> list[Audio]:
    for index in range(len(manifest)):
        manifest.path(index)  # which refuses what leads out of the root
    return [Audio(str(manifest.row(index)["path"]), samples) for index, samples in enumerate(manifest.samples.tolist())]


def add_vector_options(parser: argparse.ArgumentParser) -> None:
    """Add --speaker-vectors, --speaker-level and --speaker-table; read them with `vector_options`."""
    parser.add_argument(
        "--speaker-vectors",
        nargs="?",
        const="statistics",
        metavar="EXTRACTOR",
        help="make the target voices' vectors: statistics (if no name is given), resemblyzer or MODULE:FUNCTION "
        "(default: those of the target manifest's third column)",
    )
    parser.add_argument(
        "--speaker-level", type=int, metavar="N", help="one mean vector a speaker: the N-th folder of a row's path"
    )
    parser.add_argument(
        "--speaker-table", type=Path, metavar="FILE", help="one mean vector a speaker: lines of path, tab, speaker"
    )


def vector_options(options: dict) -> VectorOptions | None:
    """Take the three options out of a parsed command line. ValueError when some have no effect."""
    extractor, level, table = (options.pop(f"speaker_{name}") for name in ("vectors", "level", "table"))
    if extractor is None and (level is not None or table is not None):
        raise ValueError("--speaker-level and --speaker-table have no effect without --speaker-vectors: give it too")
    return None if extractor is None else VectorOptions(extractor, level, table)
