"""Sound and pictures as data URIs, so that the page needs no other file."""

from __future__ import annotations

import base64
import importlib.util
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from ..constants import MEL_HOP, SAMPLE_RATE
from ..data.audio import read_audio
from ..data.columns import JOB_COLUMNS
from ..data.errors import AudioError, DataError
from ..data.manifest import Manifest
from ..data.npy import npy_file, read_header, read_numbers

LONGEST = 30.0  # seconds of a player; the rest is cut off
MEL_COLUMNS = 2  # of a mel's shape (N frames, M bins)


class Player(NamedTuple):
    """A recording to listen to; without ``uri`` the reason stands in ``problem``."""

    label: str
    uri: str
    problem: str = ""


class Recordings:
    """Finds the recordings of manifest rows.

    Args:
        data: folder of the manifests; None for none.
        root: replaces the audio root of the manifests, as ``--audio-root``; None for theirs.
    """

    def __init__(self, data: Path | None, root: Path | None = None) -> None:
        self._data = data
        self._root = root
        self._manifests: dict[tuple[str, str], Manifest | None] = {}

    def path(self, subset: str, row: int, job: str) -> Path | None:
        """The recording of a row, from 0; None where there is no such manifest.

        Raises:
            DataError: the manifest breaks its format or has no such row, or the path leads out of the audio root.
        """
        manifest = self._manifest(subset, job)
        if manifest is not None and row >= len(manifest):
            raise DataError(f"{manifest.file} has {len(manifest)} rows: it is not what was decoded: give its --data")
        return None if manifest is None else manifest.path(row)

    def path_of(self, subset: str, written: str, job: str) -> Path | None:
        """The recording with this path in the manifest; None and errors as above."""
        manifest = self._manifest(subset, job)
        if manifest is None:
            return None
        row = next((row for row in range(len(manifest)) if manifest.row(row)["path"] == written), None)
        if row is None:
            raise DataError(f"{manifest.file} has no row {written!r}: it is not what was classified: give its --data")
        return manifest.path(row)

    def missing(self, subsets: Iterable[str]) -> list[str]:
        """Why subsets have no players: one line each."""
        if self._data is None:
            return [f"{subset}: no players; --data FOLDER names the manifests of its recordings" for subset in subsets]
        files = [(subset, self._data / f"{subset}.tsv") for subset in subsets]
        return [f"{subset}: no players; there is no {file}" for subset, file in files if not file.is_file()]

    def _manifest(self, subset: str, job: str) -> Manifest | None:
        if self._data is None:
            return None
        if (subset, job) not in self._manifests:
            file = self._data / f"{subset}.tsv"
            there = file.is_file()
            self._manifests[subset, job] = Manifest.open(file, JOB_COLUMNS[job], root=self._root) if there else None
        return self._manifests[subset, job]


def player(label: str, path: Path) -> Player:
    """A recording of any format as 16-bit FLAC at 16 kHz; of a long one the beginning."""
    try:
        wave = read_audio(path)
    except (AudioError, OSError) as error:
        return Player(label, "", f"cannot be read: {error}")
    if not len(wave):
        return Player(label, "", "holds no samples")
    most = int(LONGEST * SAMPLE_RATE)
    label += f" (the first {LONGEST:g} s)" if len(wave) > most else ""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(wave[:most], -1, 1), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return Player(label, data_uri(buffer.getvalue(), "audio/flac"))


def mel_picture(path: Path) -> str | None:
    """A log-mel file (N, M) as a PNG's data URI; None without matplotlib, or where the file is none.

    Of a long one the beginning, as ``player`` has it.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return None
    from matplotlib.figure import Figure  # an extra

    try:
        with npy_file(path) as file:
            header = read_header(file)
            if len(header.shape) != MEL_COLUMNS or 0 in header.shape:
                return None
            mel = read_numbers(file, header)
    except (OSError, ValueError, DataError):
        return None
    mel = np.nan_to_num(mel[: round(LONGEST * SAMPLE_RATE / MEL_HOP)].astype(np.float32))
    figure = Figure(figsize=(6, 2), layout="constrained")
    axes = figure.add_subplot()
    extent = (0, len(mel) * MEL_HOP / SAMPLE_RATE, 0, mel.shape[1])
    axes.imshow(mel.T, origin="lower", aspect="auto", interpolation="nearest", extent=extent)
    axes.set(xlabel="seconds", ylabel="mel bin")
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=90, format="png", metadata={"Software": None})
    return data_uri(buffer.getvalue(), "image/png")


def png_file(path: Path) -> str | None:
    """A PNG that generation drew; None where there is none."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    return data_uri(content, "image/png") if content.startswith(b"\x89PNG\r\n") else None


def data_uri(content: bytes, kind: str) -> str:
    """RFC 2397."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
