"""Speaker vectors: one 512-entry .npy file an utterance (or a speaker), named in the manifest's third column.

    python -m manifest_tools.speaker_vectors --manifests data/train.tsv data/valid.tsv --out data/speakers

Extractors: `statistics` (no download, see manifest_tools.speaker_statistics for what it can do), `resemblyzer` (a small
trained model inside its pip package; 256 numbers and 256 zeros), or `module:function`, a function of a (S,) 16 kHz
waveform that returns up to 512 numbers. Vectors have length 1 and are padded with zeros to 512.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from speecht5_fairseq.constants import SPEAKER_DIM
from speecht5_fairseq.data.archives import holder
from speecht5_fairseq.data.atomic import replacing
from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.errors import AudioError, listed
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest
from speecht5_fairseq.data.plugin import load_function

from .command import add_jobs_option, add_root_option, run, workers
from .files import read_lines, write_text
from .parallel import parallel_map
from .speaker_statistics import resemblyzer_vector, statistics_vector, unit_length
from .summary import table
from .vector_sources import Recording, claim, claim_means

logger = logging.getLogger(__name__)

EXTRACTORS: dict[str, Callable[[np.ndarray], Any]] = {
    "statistics": statistics_vector,
    "resemblyzer": resemblyzer_vector,
}


class ExtractorError(ValueError):
    """The extractor is at fault, not a recording: no other one would fare better."""


def find_extractor(name: str) -> Callable[[np.ndarray], Any]:
    """The function of an extractor's name. Raises ValueError with the choices."""
    if name in EXTRACTORS:
        return EXTRACTORS[name]
    if ":" in name:
        return load_function(name, "--extractor")
    raise ValueError(
        f"--extractor {name!r}: choose one of {', '.join(EXTRACTORS)}, or name a function as module:function"
    )


def compute_vector(wave: np.ndarray, extractor: str) -> np.ndarray:
    """(S,) 16 kHz -> (512,) float32 of length 1, zero padded. Raises ValueError for a wrong shape or silent audio."""
    vector = np.asarray(find_extractor(extractor)(wave), dtype=np.float32)
    if vector.ndim != 1 or len(vector) > SPEAKER_DIM:
        raise ExtractorError(
            f"extractor {extractor} gave shape {vector.shape}; it must be (D,) with D at most {SPEAKER_DIM}"
        )
    return np.pad(unit_length(vector), (0, SPEAKER_DIM - len(vector)))


def _save(path: Path, vector: np.ndarray) -> None:
    with replacing(path) as temporary:
        np.save(temporary, vector, allow_pickle=False)


def _make_vector(recording: Recording, extractor: str) -> str | None:
    """Write one recording's vector unless it is there, and newer than the audio; or why there is none."""
    try:
        made = recording.vector.stat().st_mtime_ns if recording.vector.is_file() else 0
        if made >= holder(recording.audio).stat().st_mtime_ns:
            return None
        vector = compute_vector(read_audio(recording.audio), extractor)
    except ExtractorError as error:
        raise ExtractorError(f"{recording.place}: {recording.audio}: {error}") from error
    except (ValueError, OSError) as error:  # of read_audio too, whose messages begin with the path
        return str(error) if str(error).startswith(str(recording.audio)) else f"{recording.audio}: {error}"
    _save(recording.vector, vector)
    return None


def vector_file(out: Path, name: str) -> Path:
    """Where the vector of a row's path goes. It keeps the suffix: a.wav and a.flac must not share a vector."""
    return out / PurePosixPath(*(part for part in PurePosixPath(name).parts if part not in ("..", "/"))).with_name(
        f"{PurePosixPath(name).name}.npy"
    )


def _recordings(manifests: Sequence[Manifest], out: Path) -> Iterator[Recording]:
    for manifest in manifests:
        for index, name in enumerate(_names(manifest)):
            place = f"{manifest.file}:{manifest.line_number(index)}"
            yield Recording(manifest.path(index), vector_file(out, name), place)


def _names(manifest: Manifest) -> Iterator[str]:
    """The paths of the rows as the manifest writes them."""
    return (str(manifest.row(index)["path"]) for index in range(len(manifest)))


def speaker_by_level(name: str, level: int) -> str:
    """The folder at `level` of a path (1: the first). Raises ValueError when the path is too short."""
    folders = PurePosixPath(name).parts[:-1]
    if not 1 <= level <= len(folders):
        raise ValueError(
            f"--speaker-level {level}: {name!r} lies in {len(folders)} folders; choose 1 to {len(folders)}"
        )
    return folders[level - 1]


def speakers_by_table(path: Path) -> dict[str, str]:
    """name -> speaker, from lines `path<TAB>speaker`. Raises ValueError naming file and line."""
    speakers = {}
    for number, line in enumerate(read_lines(path), start=1):
        name, tab, speaker = line.partition("\t")
        if not tab or not name or not speaker.strip():
            raise ValueError(f"{path}:{number}: {line!r} is not a path, a tab and a speaker")
        speakers[name] = speaker.strip()
    return speakers


def _write_means(manifests: Sequence[Manifest], out: Path, speaker_of: Callable[[str], str]) -> None:
    """Write each speaker's mean vector (of length 1). A recording in two manifests counts once."""
    means: dict[Path, dict[Path, None]] = {}  # in the order of the rows
    for manifest in manifests:
        for name in _names(manifest):
            means.setdefault(_speaker_file(out, speaker_of(name)), {})[vector_file(out, name)] = None
    claim_means(out, {mean: vectors.keys() for mean, vectors in means.items()})
    for mean, vectors in means.items():
        _save(mean, unit_length(sum(np.load(vector, allow_pickle=False) for vector in vectors)))
    logger.info("%d speakers", len(means))


def _speaker_file(out: Path, speaker: str) -> Path:
    return out / "speakers" / f"{speaker.replace('/', '_')}.npy"


def _find_speakers(level: int | None, speaker_table: Path | None) -> Callable[[str], str] | None:
    """A function from a row's path to its speaker; None when every row keeps its own vector."""
    if level is not None and speaker_table is not None:
        raise ValueError("--speaker-level and --speaker-table both name the speakers: give one")
    if level is not None:
        return partial(speaker_by_level, level=level)
    return speakers_by_table(speaker_table).__getitem__ if speaker_table is not None else None


def _check_speakers(manifests: Sequence[Manifest], speaker_of: Callable[[str], str]) -> None:
    """Every row has a speaker, before hours are spent on vectors."""
    for manifest in manifests:
        for index, name in enumerate(_names(manifest)):
            try:
                speaker_of(name)
            except KeyError:
                raise manifest.error(index, f"no speaker for {name!r}", "add the line to --speaker-table") from None


def _check_folder(out: Path, extractor: str) -> None:
    """Vectors of two extractors must not meet in one folder."""
    record = out / "speaker_vectors.json"
    if record.is_file() and (known := json.loads(record.read_text())["extractor"]) != extractor:
        raise ValueError(f"{out} holds vectors of --extractor {known}; choose another --out for {extractor}")
    write_text(record, json.dumps({"extractor": extractor, "dim": SPEAKER_DIM}) + "\n")


def write_vectors(manifests: Sequence[Manifest], out: Path, extractor: str, n_jobs: int) -> list[list[str | None]]:
    """Write the vectors of all rows that have none yet. Returns, for each row of each manifest, why it got none.

    A broken recording does not keep the others from their vectors.
    """
    find_extractor(extractor)
    _check_folder(out, extractor)
    claim(_recordings(manifests, out), out)
    make, total = partial(_make_vector, extractor=extractor), sum(map(len, manifests))
    made = parallel_map(make, _recordings(manifests, out), total=total, n_jobs=n_jobs, description="speakers")
    problems = list(made)
    starts = [sum(map(len, manifests[:number])) for number in range(len(manifests))]
    return [problems[start : start + len(manifest)] for start, manifest in zip(starts, manifests, strict=True)]


def prepare_speaker_vectors(
    manifests: Sequence[Path],
    out: Path,
    *,
    extractor: str = "statistics",
    speaker_level: int | None = None,
    speaker_table: Path | None = None,
    allow_outside_root: bool = False,
    n_jobs: int = 1,
) -> dict[Path, int]:
    """Write the vectors of all rows of `manifests` under `out`, and name them in each manifest's third column.

    With speaker_level (the n-th folder of a row's path) or speaker_table (lines `path<TAB>speaker`) the rows of one
    speaker, over all manifests, share the mean of their vectors, in out/speakers/NAME.npy. Vectors that are there are
    not computed again; those of another corpus are not taken (see `vector_sources`). Manifests are replaced in place;
    their other columns stay. Returns manifest -> rows.
    Raises ManifestError, AudioError or ValueError with the mend; recordings that cannot be used are listed at the end,
    when all others have their vectors.
    """
    find_extractor(extractor)
    speaker_of = _find_speakers(speaker_level, speaker_table)
    opened = [Manifest.open(path, JOB_COLUMNS["pretrain"], outside=allow_outside_root) for path in manifests]
    if speaker_of:
        _check_speakers(opened, speaker_of)
    broken = [
        f"{manifest.file}:{manifest.line_number(index)}: {why}"
        for manifest, problems in zip(opened, write_vectors(opened, out, extractor, n_jobs), strict=True)
        for index, why in enumerate(problems)
        if why is not None
    ]
    if broken:
        raise AudioError(listed(broken))
    if speaker_of:
        _write_means(opened, out, speaker_of)
    for manifest in opened:
        root = manifest.root.resolve()
        files = (_speaker_file(out, speaker_of(n)) if speaker_of else vector_file(out, n) for n in _names(manifest))
        fields = (
            (name, samples, os.path.relpath(file.resolve(), root))
            for name, samples, file in zip(_names(manifest), manifest.samples.tolist(), files, strict=True)
        )
        write_manifest(manifest.file, manifest.lines[0], fields)
    return {manifest.file: len(manifest) for manifest in opened}


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.speaker_vectors",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--manifests", nargs="+", type=Path, required=True, help="manifests, replaced with a third column"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the .npy files go")
    parser.add_argument(
        "--extractor",
        default="statistics",
        metavar="statistics|resemblyzer|MODULE:FUNCTION",
        help="what makes a vector of a waveform (default: %(default)s)",
    )
    parser.add_argument(
        "--speaker-level",
        type=int,
        metavar="N",
        help="one mean vector a speaker: the N-th folder of a row's path (1: first)",
    )
    parser.add_argument(
        "--speaker-table", type=Path, metavar="FILE", help="one mean vector a speaker: lines of path, tab, speaker"
    )
    add_root_option(parser)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the rows."""
    options = vars(build_parser().parse_args(argv))
    with workers(options) as n_jobs:
        rows = prepare_speaker_vectors(**options, n_jobs=n_jobs)
    print(table(("manifest", "rows"), rows.items()))


if __name__ == "__main__":
    run(main)
