"""What the preparers of corpora share: sample counts, names of sounds, what is left out, options."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from speecht5_fairseq.data.audio import audio_info
from speecht5_fairseq.data.errors import AudioError, listed

from .files import write_lines
from .parallel import parallel_map
from .voices import Audio

logger = logging.getLogger(__name__)

LeftOut = tuple[str, str]  # path, reason


def measure(root: Path, names: Sequence[str], *, n_jobs: int, description: str) -> list[Audio]:
    """Recordings below `root` with their samples at 16 kHz. Raises AudioError that lists the unreadable ones."""
    lengths = list(
        parallel_map(partial(_samples, root=root), names, total=len(names), n_jobs=n_jobs, description=description)
    )
    broken = [problem for problem in lengths if isinstance(problem, str)]
    if broken:
        raise AudioError(listed(broken))
    return [Audio(name, samples) for name, samples in zip(names, lengths, strict=True)]


def _samples(name: str, root: Path) -> int | str:
    try:
        return audio_info(root / name).samples
    except AudioError as error:
        return str(error)


def sound_name(name: str) -> str:
    """Where the sound of a row's path goes: below the output's folder, and .wav. a.wav and a.flac stay two files."""
    path = PurePosixPath(*(part for part in PurePosixPath(name).parts if part not in ("..", "/")))
    return str(path if path.suffix.lower() == ".wav" else path.with_name(f"{path.name}.wav"))


def existing_folder(folder: Path, option: str, content: str) -> Path:
    """`folder`, if it is one. FileNotFoundError naming the option and what the folder should hold."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{option}: no folder {folder}; it should hold {content}")
    return folder


def write_left_out(out: Path, split: str, left_out: Sequence[LeftOut]) -> None:
    """List what a split does without in out/SPLIT.left_out.tsv, and say how much it is."""
    path = out / f"{split}.left_out.tsv"
    write_lines(path, (f"{name}\t{reason}" for name, reason in left_out))
    if left_out:
        logger.warning("%s: %d recordings left out, listed in %s", split, len(left_out), path)


def add_extractor_option(parser: argparse.ArgumentParser) -> None:
    """Add --extractor, as manifest_tools.speaker_vectors has it."""
    parser.add_argument(
        "--extractor",
        default="statistics",
        metavar="statistics|resemblyzer|MODULE:FUNCTION",
        help="what makes the speaker vectors (default: %(default)s)",
    )


def add_vectors_of_option(parser: argparse.ArgumentParser) -> None:
    """Add --vectors-of: whether a speaker's recordings share a vector."""
    parser.add_argument(
        "--vectors-of",
        choices=("speaker", "recording"),
        default="speaker",
        help="one vector a speaker, the mean of the recordings', or one a recording (default: %(default)s)",
    )
