"""Where the noise of noisy recordings comes from: sound files, recordings of other talkers, or numpy.

A source gives a stretch of any length, drawn with the generator it is handed, so that equal seeds give equal noise.
Training, validation and test never hear the same noise: a long file is shared out among them, a short one belongs to
one of them, babble is made of the split's own recordings, and synthetic noise is never the same twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from speecht5_fairseq.constants import SAMPLE_RATE
from speecht5_fairseq.data.audio import audio_info, read_audio, write_audio
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest

from .debian import unpack_packages
from .files import SPLITS, split_by_hash
from .levels import active_power

EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3", ".g722")
MUSIC_PACKAGE = "asterisk-moh-opsound-g722"  # of Debian: five pieces, 18 minutes, CC BY-SA 3.0
SYNTHETIC_PREFIX = "synthetic:"
SHARED_SECONDS = 30.0  # files at least this long are shared out among the splits
SHARES = {"train": (0.0, 0.7), "valid": (0.7, 0.8), "test": (0.8, 1.0)}  # of a shared file, from and to
SHORT_SHARES = (0.1, 0.2)  # of short files: for validation, for test
SPLIT_SALT = "noise-1"
TALKERS = 6  # voices in babble
HUM_HARMONICS = 12
LOWEST_HZ = 20.0  # coloured noise has no more power below: it would only move the zero line


class Noise(NamedTuple):
    """A stretch of noise."""

    wave: np.ndarray  # float32 (S,), 16 kHz
    label: str  # file or kind
    offset: int  # sample of the file at which it starts; 0 for what has no file


class Source(Protocol):
    """Anything that noise is drawn from."""

    def draw(self, rng: np.random.Generator, samples: int) -> Noise:
        """`samples` of noise; equal generators give equal noise."""


class Stretch(NamedTuple):
    """The part of a sound file that one split may use, in samples at 16 kHz."""

    path: Path
    start: int
    samples: int


class FileNoise(NamedTuple):
    """Stretches of sound files, each as likely as the others; they are repeated where they are too short."""

    stretches: tuple[Stretch, ...]

    def draw(self, rng: np.random.Generator, samples: int) -> Noise:
        """A stretch from a place drawn in it."""
        stretch = self.stretches[rng.integers(len(self.stretches))]
        offset = int(rng.integers(max(1, stretch.samples - samples + 1)))  # no repeat where the stretch is long enough
        wave = looped(stretch, offset, samples)
        return Noise(wave, str(stretch.path), stretch.start + offset)


class Babble(NamedTuple):
    """Several recordings of speech at once, at equal levels, each repeated from a place drawn in it."""

    stretches: tuple[Stretch, ...]

    def draw(self, rng: np.random.Generator, samples: int) -> Noise:
        """The sum of TALKERS recordings (all there are, if fewer)."""
        chosen = rng.choice(len(self.stretches), size=min(TALKERS, len(self.stretches)), replace=False)
        total = np.zeros(samples, dtype=np.float32)
        for index in chosen:
            stretch = self.stretches[index]
            wave = looped(stretch, int(rng.integers(stretch.samples)), samples)
            total += wave / np.sqrt(max(active_power(wave), 1e-10))
        return Noise(total, "synthetic:babble", 0)


class SyntheticNoise(NamedTuple):
    """Noise that numpy makes."""

    kind: str  # of SYNTHETIC

    def draw(self, rng: np.random.Generator, samples: int) -> Noise:
        """New noise of this kind."""
        return Noise(SYNTHETIC[self.kind](rng, samples), f"synthetic:{self.kind}", 0)


def coloured(rng: np.random.Generator, samples: int, slope: float) -> np.ndarray:
    """Gaussian noise (S,) of power density 1 / f ** slope above 20 Hz, of power 1: 0 is white, 1 pink, 2 brown."""
    length = max(samples, SAMPLE_RATE // 10)  # a shorter spectrum has no low frequencies
    frequency = np.maximum(np.fft.rfftfreq(length, 1 / SAMPLE_RATE), LOWEST_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(length)) / frequency ** (slope / 2)
    wave = np.fft.irfft(spectrum, length)[:samples]
    return (wave / np.sqrt(np.mean(wave**2) + 1e-20)).astype(np.float32)


def hum(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Mains hum (S,) of power about 1: 50 or 60 Hz, slightly off and with harmonics, over a little pink noise."""
    base = rng.choice((50.0, 60.0)) * rng.uniform(0.998, 1.002)
    time = np.arange(samples) / SAMPLE_RATE
    wave = 0.05 * coloured(rng, samples, 1.0)
    for harmonic in range(1, HUM_HARMONICS + 1):
        level = rng.uniform(0.3, 1.0) / harmonic
        wave = wave + level * np.sin(2 * np.pi * (harmonic * base * time + rng.uniform()))
    return wave.astype(np.float32)


SYNTHETIC: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "white": lambda rng, samples: coloured(rng, samples, 0.0),
    "pink": lambda rng, samples: coloured(rng, samples, 1.0),
    "brown": lambda rng, samples: coloured(rng, samples, 2.0),
    "hum": hum,
}
KINDS = (*SYNTHETIC, "babble")  # after SYNTHETIC_PREFIX


def looped(stretch: Stretch, offset: int, samples: int) -> np.ndarray:
    """`samples` of a stretch from `offset` on, from its start again where it ends: float32 (S,)."""
    if samples <= stretch.samples - offset:
        return read_audio(stretch.path, start=stretch.start + offset, frames=samples)
    whole = read_audio(stretch.path, start=stretch.start, frames=stretch.samples)
    return whole[(offset + np.arange(samples)) % stretch.samples]


def find_noise_files(place: Path) -> list[Path]:
    """The sound files of a folder, searched deeply, or the file itself. FileNotFoundError when there are none."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise FileNotFoundError(f"--noise {place}: no such file or folder; give one, music, or synthetic:KIND")
    found = sorted(path for path in place.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
    if not found:
        raise FileNotFoundError(f"--noise {place}: no file ends in {', '.join(EXTENSIONS)}; give another folder")
    return found


def readable(path: Path, cache: Path) -> Path:
    """The file itself, or for G.722 a WAV of it in `cache`, decoded once."""
    if path.suffix.lower() != ".g722":
        return path
    from .prompts_sources import decode_g722

    decoded = cache / f"{path.stem}-{path.stat().st_size}.wav"
    if not decoded.is_file():
        write_audio(decoded, decode_g722(path.read_bytes()))
    return decoded


def stretch_of(path: Path, name: str, split: str) -> Stretch | None:
    """What `split` may use of a file: its share of a long one, all or nothing of a short one."""
    samples = audio_info(path).samples
    if samples < SHARED_SECONDS * SAMPLE_RATE:
        mine = split_by_hash(name, SPLIT_SALT, *SHORT_SHARES) == split
        return Stretch(path, 0, samples) if mine and samples else None
    start, end = (int(share * samples) for share in SHARES[split])
    return Stretch(path, start, end - start)


def file_noise(place: Path, split: str, cache: Path) -> FileNoise:
    """The share of `split` in the sound files at `place`. ValueError when it has none."""
    files = find_noise_files(place)
    names = [path.relative_to(place).as_posix() if place.is_dir() else path.name for path in files]
    found = [stretch_of(readable(path, cache), name, split) for path, name in zip(files, names, strict=True)]
    stretches = tuple(stretch for stretch in found if stretch is not None)
    if not stretches:
        raise ValueError(
            f"--noise {place}: none of its {len(files)} files is for the {split} split; give more files, or one of "
            f"{SHARED_SECONDS:g} s or more, which all splits share"
        )
    return FileNoise(stretches)


def split_of_manifest(path: Path) -> str:
    """Whose noise the rows of a manifest get: "train", "valid" or "test", by the start of its name."""
    for start, split in (*((split, split) for split in SPLITS), ("dev", "valid")):
        if path.stem.startswith(start):
            return split
    raise ValueError(
        f"--manifest {path}: its name does not tell whose noise it is to have; let it start with train, valid, dev or "
        "test"
    )


def sounds_hash(source: Source) -> str:
    """16 hex digits that change with the sound files of a source and their lengths, but not with their folder."""
    stretches = source.stretches if isinstance(source, FileNoise | Babble) else ()
    listed = "".join(f"{stretch.path.name}\t{stretch.start}\t{stretch.samples}\n" for stretch in stretches)
    return hashlib.sha256(listed.encode()).hexdigest()[:16]


def find_source(name: str, split: str, cache: Path, babble_dir: Path | None, *, outside: bool = False) -> Source:
    """The source of a --noise option, as far as `split` may use it. Raises ValueError or an OSError with the mend."""
    if name == "music":
        mend = "give a folder of sound files as --noise"
        return file_noise(unpack_packages([MUSIC_PACKAGE], cache / MUSIC_PACKAGE, mend=mend), split, cache / "decoded")
    if not name.startswith(SYNTHETIC_PREFIX):
        return file_noise(Path(name), split, cache / "decoded")
    kind = name.removeprefix(SYNTHETIC_PREFIX)
    if kind in SYNTHETIC:
        return SyntheticNoise(kind)
    if kind != "babble":
        raise ValueError(f"--noise {name}: choose one of {', '.join(KINDS)} after {SYNTHETIC_PREFIX}")
    if babble_dir is None:
        raise ValueError(f"--noise {name} needs --babble DIR: a folder of {{train,valid,test}}.tsv, of other voices")
    manifest = Manifest.open(babble_dir / f"{split}.tsv", JOB_COLUMNS["s2t"], outside=outside)
    return Babble(tuple(Stretch(manifest.path(i), 0, samples) for i, samples in enumerate(manifest.samples.tolist())))
