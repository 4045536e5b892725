"""Audio files in and out."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
import torchaudio

from ..constants import SAMPLE_RATE
from .archives import opened
from .atomic import replacing
from .errors import AudioError
from .paths import irregular
from .segments import Segment, segment_of

_RATES = range(1000, 10_000_001)  # Hz; from less, resampling would make very many samples of few
_KERNEL = 20_000_000  # entries of the matrix that resampling multiplies with, 8 bytes each; 44.1 kHz has 70,560
_RESAMPLE_ZEROS = 6  # zero crossings each side of torchaudio's windowed-sinc kernel (its default)
_RESAMPLE_ROLLOFF = 0.99  # cut-off as a share of the lower Nyquist frequency (its default)
_EXACT_BITS = 23  # float32 is within half a sample up to 2 ** 23 of them


class AudioInfo(NamedTuple):
    """What a file's header says. `samples` counts at 16 kHz, whatever the file's own `rate` (Hz)."""

    samples: int
    rate: int
    channels: int


def audio_info(path: str | Path) -> AudioInfo:
    """Read the header of an audio file, or of a member of an archive (see ``archives``), as all functions here do.

    Of a segment (see ``segments``) the samples are its own.

    Raises:
        AudioError: the file is missing or in no format that soundfile reads, or a segment ends after it.
    """
    with _open(path) as file:
        segment = _segment(path, file)
        return AudioInfo(segment.samples, file.samplerate, file.channels)


def read_audio(path: str | Path, *, start: int = 0, frames: int = -1, resample: bool = True) -> np.ndarray:
    """Read a stretch of an audio file, or of a segment of one, as 16 kHz mono; channels are averaged before all else.

    Args:
        start: first sample, counted at 16 kHz from the start of the file or segment.
        frames: samples to read at 16 kHz; -1 for all that follow. Only these are read from disk.
        resample: convert files of other rates; otherwise they are refused.

    Returns:
        float32 (S,), nominally in [-1, 1].

    Raises:
        AudioError: unreadable file, another rate and `resample` off, or fewer samples than asked for.
    """
    with _open(path) as file:
        rate = file.samplerate
        segment = _segment(path, file)
        frames = segment.samples - start if frames < 0 else frames
        if start < 0 or start + frames > segment.samples:
            raise AudioError(
                f"{path}: has {segment.samples} samples at {SAMPLE_RATE} Hz, not the {start + frames} asked for; "
                "correct the manifest's sample count"
            )
        start += segment.start
        if rate == SAMPLE_RATE:
            return _read_mono(file, path, start, frames)
        if not resample:
            raise AudioError(
                f"{path}: the sample rate is {rate} Hz, not {SAMPLE_RATE}; "
                f"allow resampling, or convert the file (`sox IN -r {SAMPLE_RATE} OUT`)"
            )
        return _read_resampled(file, path, start, frames)


def check_audio_name(path: str | Path) -> None:
    """Check that a file of this name can be written, before there is something to write.

    Raises:
        AudioError: its suffix names no format that holds 16-bit samples.
    """
    name = Path(path).suffix[1:].upper()
    if name not in soundfile.available_formats() or not soundfile.check_format(name, "PCM_16"):
        raise AudioError(f"{path}: no audio of 16 bits can be written under this name; give .wav, .flac or .aiff")


def write_audio(path: str | Path, wave: np.ndarray | torch.Tensor) -> None:
    """Write (S,) in [-1, 1] as 16 kHz mono, 16-bit, the suffix names the format. Atomic; makes the folder.

    Raises:
        AudioError: see ``check_audio_name``.
    """
    check_audio_name(path)
    with replacing(path) as partial:
        soundfile.write(partial, np.asarray(wave, dtype=np.float32), SAMPLE_RATE, subtype="PCM_16")


@contextmanager
def _open(path: str | Path) -> Iterator[soundfile.SoundFile]:
    with opened(path) as source:
        if isinstance(source, str):
            _check_file(source, path)
        try:
            file = soundfile.SoundFile(source)
        except (soundfile.LibsndfileError, OSError, TypeError, ValueError, MemoryError) as error:  # TypeError: of .raw
            raise AudioError(f"{path}: not readable as audio ({error}); convert it to WAV or FLAC") from error
        with file:
            _check_header(file, path)
            yield file


def _segment(path: str | Path, file: soundfile.SoundFile) -> Segment:
    """The stretch of an opened file that a path names; all of it where it names none.

    Raises:
        AudioError: it ends after the file.
    """
    total = _samples_at_16k(file.frames, file.samplerate)
    segment = segment_of(path) or Segment(str(path), 0, total)
    if segment.end > total:
        raise AudioError(
            f"{path}: the segment ends at sample {segment.end}, the recording at {total} (of {SAMPLE_RATE} a second); "
            "correct its start and length, :START:SAMPLES"
        )
    return segment


def _check_file(file: str, path: str | Path) -> None:
    """Refuse what is no file on disk, under the path that named it."""
    kind = irregular(file)
    if kind is not None:
        raise AudioError(f"{path}: {kind}, not an audio file; correct the path or the audio root")
    if not os.path.isfile(file):  # libsndfile calls this a "System error"
        raise AudioError(f"{path}: no such audio file; correct the path or the audio root")


def _check_header(file: soundfile.SoundFile, path: str | Path) -> None:
    """Refuse what no recording has: it would make a matrix of gigabytes, or a million samples of one."""
    if file.samplerate not in _RATES or file.frames < 0 or file.channels < 1:
        claimed = f"{file.samplerate} Hz, {file.frames} frames, {file.channels} channels"
        raise AudioError(f"{path}: the header claims {claimed}; copy or convert the file again")
    divisor = math.gcd(file.samplerate, SAMPLE_RATE)
    if file.samplerate // divisor * (SAMPLE_RATE // divisor) > _KERNEL:
        problem = f"the sample rate of {file.samplerate} Hz and {SAMPLE_RATE} have no common divisor to resample by"
        raise AudioError(f"{path}: {problem}; convert the file (`sox IN -r {SAMPLE_RATE} OUT`)")


def _samples_at_16k(frames: int, rate: int) -> int:
    """Length after resampling: ceil(frames * new / old), as torchaudio gives it where float32 counts so far."""
    return -(-frames * SAMPLE_RATE // rate)


def _read_mono(file: soundfile.SoundFile, path: str | Path, start: int, frames: int) -> np.ndarray:
    try:
        file.seek(start)
        wave = file.read(frames, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError, OverflowError, MemoryError) as error:
        raise AudioError(f"{path}: cannot be decoded ({error}); copy or convert the file again") from error
    if len(wave) != frames:
        raise AudioError(f"{path}: ends {frames - len(wave)} samples early; copy or convert the file again")
    return wave[:, 0] if wave.shape[1] == 1 else wave.mean(axis=1)


def _read_resampled(file: soundfile.SoundFile, path: str | Path, start: int, frames: int) -> np.ndarray:
    """Resample only what the stretch and the filter's reach need; the same values as from the whole file.

    Reading starts on a multiple of `old` input samples, where output and input instants coincide. What would come after
    the file's end is zero, as torchaudio takes it to be: it counts its output in float32, and of a few seconds at
    22,050 Hz gives one sample too few.
    """
    if not frames:  # torchaudio refuses nothing
        return np.zeros(0, dtype=np.float32)
    divisor = math.gcd(file.samplerate, SAMPLE_RATE)
    old, new = file.samplerate // divisor, SAMPLE_RATE // divisor
    reach = math.ceil(_RESAMPLE_ZEROS * old / (min(old, new) * _RESAMPLE_ROLLOFF))  # input samples each side
    lead = math.ceil(reach / old) + 1
    first = max(start // new - lead, 0)
    end = -(-(start + frames) // new) * old + lead * old
    last = min(end, file.frames)
    wave = torch.from_numpy(_read_mono(file, path, first * old, last - first * old))
    lost = frames >> _EXACT_BITS  # samples that float32 may miscount
    wave = torch.nn.functional.pad(wave, (0, end - last + lost * old))
    wave = torchaudio.functional.resample(
        wave, old, new, lowpass_filter_width=_RESAMPLE_ZEROS, rolloff=_RESAMPLE_ROLLOFF
    )
    return wave[start - first * new :][:frames].numpy()
