"""Made corpora for programs that read audio: as files, as archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from manifest_tools.pack import pack_manifest
from speecht5_fairseq.constants import ENCODER_FRAME_RATE, SAMPLE_RATE, SPEAKER_DIM
from speecht5_fairseq.data.audio import write_audio
from speecht5_fairseq.data.manifest import write_manifest

from .models import UNITS

PITCH = 120  # Hz, of the made voices


def write_corpus(folder: Path, *, utterances: int, seconds: float, suffix: str) -> Path:
    """Write recordings with units and speaker vectors, as pre-training reads them; returns the manifest.

    Args:
        seconds: of each recording.
        suffix: ".wav" or ".flac", both of 16 bits.
    """
    generator = np.random.default_rng(0)
    rows = []
    for number in range(utterances):
        name = f"{number:05d}{suffix}"
        wave = _speech_like(generator, int(seconds * SAMPLE_RATE))
        write_audio(folder / name, wave)
        np.save(folder / f"{name}.npy", generator.standard_normal(SPEAKER_DIM).astype(np.float32))
        rows.append((name, len(wave), f"{name}.npy"))
    units = generator.integers(UNITS, size=(utterances, int(seconds * ENCODER_FRAME_RATE)))
    (folder / "train.km").write_text("".join(" ".join(map(str, row)) + "\n" for row in units.tolist()))
    (folder / "dict.km.txt").write_text("".join(f"{unit} 1\n" for unit in range(UNITS)))
    write_manifest(folder / "train.tsv", ".", rows)
    return folder / "train.tsv"


def packed(manifest: Path, folder: Path) -> Path:
    """The corpus of a manifest in a tar; returns the manifest over it."""
    pack_manifest(manifest, folder, n_jobs=1)
    return folder / manifest.name


def _speech_like(generator: np.random.Generator, samples: int) -> np.ndarray:
    """Harmonics and noise under an envelope of syllables: FLAC makes of it about what it makes of speech."""
    time = np.arange(samples) / SAMPLE_RATE
    second = time[:SAMPLE_RATE]
    voice = sum(np.sin(2 * np.pi * PITCH * harmonic * second) / harmonic for harmonic in range(1, 12))
    voice = np.resize(voice, samples)  # goes on without a step: a second holds whole periods
    envelope = np.clip(np.sin(2 * np.pi * 2.5 * time + generator.uniform(0, 6)), 0, None)
    wave = envelope * 0.2 * voice + 0.002 * generator.standard_normal(samples)
    return (np.round(wave * 32768) / 32768).astype(np.float32)  # 16 bits, which WAV and FLAC hold alike
