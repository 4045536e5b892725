"""Sizes and times of the files that a manifest's rows name: a verification knows them again without reading them."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from . import archives
from .manifest import Manifest

THREADS = 16  # stat waits for the disk or the network, not for a core
_CHUNK = 4096  # rows handed to a thread at a time
_MISSING = (-1, -1)


def file_states(manifest: Manifest, rows: np.ndarray) -> np.ndarray:
    """Size in bytes and time of change in ns of the audio and speaker vectors of `rows`: int64 (rows, files, 2).

    Both are -1 for a file that is not there.
    """
    chunks = np.array_split(rows, max(1, -(-len(rows) // _CHUNK)))
    with ThreadPoolExecutor(THREADS) as pool:
        return np.concatenate(list(pool.map(lambda chunk: _states(manifest, chunk), chunks)))


def digest(states: np.ndarray) -> str:
    """A short name of all these states in their order."""
    return hashlib.blake2b(np.ascontiguousarray(states).tobytes(), digest_size=16).hexdigest()


def _states(manifest: Manifest, rows: np.ndarray) -> np.ndarray:
    return np.array([[file_state(file) for file in manifest.files(row)] for row in rows.tolist()], dtype=np.int64)


def file_state(file: str) -> tuple[int, int]:
    """Size in bytes and time of change in ns (of a member of an archive: the archive's); -1 both where it is not."""
    return archives.file_state(file) or _MISSING
