"""Audio files in and out, and the one log-mel of the package."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch
import torchaudio
from torch.nn import functional

from ..constants import MEL_BINS, MEL_FLOOR, MEL_HOP, MEL_MAX_HZ, MEL_MIN_HZ, MEL_WINDOW, SAMPLE_RATE, SPEAKER_DIM
from .archives import opened
from .atomic import replacing
from .errors import AudioError
from .npy import npy_file, read_header, read_numbers
from .paths import irregular
from .segments import Segment, segment_of

_RATES = range(1000, 10_000_001)  # Hz; from less, resampling would make very many samples of few
_KERNEL = 20_000_000  # entries of the matrix that resampling multiplies with, 8 bytes each; 44.1 kHz has 70,560
_FRAMES_AT_A_TIME = 256  # of the log-mel, 10 MB
_RESAMPLE_ZEROS = 6  # zero crossings each side of torchaudio's windowed-sinc kernel (its default)
_RESAMPLE_ROLLOFF = 0.99  # cut-off as a share of the lower Nyquist frequency (its default)
_SPEAKER_MEND = "make it with `python -m manifest_tools.speaker_vectors`"


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


def read_speaker(path: str | Path) -> np.ndarray:
    """Read a speaker vector: float32 (512,) from a .npy file.

    Raises:
        AudioError: missing, not a .npy array, of another shape, all zero or not finite.
    """
    try:
        with npy_file(path) as file:
            header = read_header(file)
            if header.shape != (SPEAKER_DIM,):
                raise AudioError(_speaker_shape(str(path), header.shape))
            vector = read_numbers(file, header)
    except AudioError:  # of its shape; or of the archive: nothing that another vector would mend
        raise
    except (OSError, ValueError) as error:
        raise AudioError(f"{path}: no readable speaker vector ({error}); {_SPEAKER_MEND}") from error
    return checked_speaker(vector, str(path))


def checked_speaker(vector: Any, name: str) -> np.ndarray:
    """A speaker vector as float32 (512,).

    Args:
        name: says which, in errors.

    Raises:
        AudioError: no array of that shape, all zero or not finite.
    """
    if not isinstance(vector, np.ndarray) or vector.shape != (SPEAKER_DIM,):
        raise AudioError(_speaker_shape(name, getattr(vector, "shape", type(vector).__name__)))
    with np.errstate(over="ignore"):  # of float64: infinity then, which is refused
        vector = vector.astype(np.float32)
    if not np.isfinite(vector).all() or not vector.any():
        raise AudioError(f"{name}: the speaker vector is all zero or holds NaN or infinity; {_SPEAKER_MEND}")
    return vector


def _speaker_shape(name: str, shape: Any) -> str:
    return f"{name}: a speaker vector of shape {str(shape)[:80]}, not ({SPEAKER_DIM},); {_SPEAKER_MEND}"


def mel_frames(samples: torch.Tensor | int) -> torch.Tensor | int:
    """Log-mel frames of a waveform of that many samples: one at every hop, the first centred on sample 0."""
    return 1 + samples // MEL_HOP


def log_mel(
    waveform: torch.Tensor, lengths: torch.Tensor | None = None
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Log10 mel spectrogram, librosa's to 1e-4: centred periodic Hann frames, reflected at the utterance's own ends.

    Args:
        waveform: (S,), or (B, S) with `lengths`, in which row b is valid up to lengths[b]. 16 kHz.
        lengths: (B,) int64.

    Returns:
        (N, M) for one waveform; for a batch ((B, N, M), (B,) frames), zero after each utterance's own frames.
    """
    if lengths is None:
        if waveform.dim() != 1:
            raise ValueError(f"a batch of shape {tuple(waveform.shape)} needs lengths (B,)")
        return _log_mel(_reflected(waveform[None]), waveform.dtype)[0]
    if lengths.numel() == 0 or int(lengths.min()) < 1:
        raise ValueError(f"log_mel needs at least one sample for each utterance, not lengths {lengths.tolist()}")
    padded = waveform.double().gather(1, _reflected_index(lengths, waveform.size(1)))
    mel = _log_mel(padded, waveform.dtype)
    frames = mel_frames(lengths)
    valid = torch.arange(mel.size(1), device=mel.device) < frames[:, None]
    return mel * valid[..., None], frames


def _log_mel(padded: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(B, S + MEL_WINDOW) float64, reflected at both ends -> (B, N, M); past an utterance's end it is anything finite.

    The spectrum is float64: a float32 FFT is off by up to 0.7 in log10 beside a loud pure tone. Its magnitudes are
    positive, and their sums lose nothing in float32. On a CPU some frames at a time stay in its cache.
    """
    frames = padded.unfold(1, MEL_WINDOW, MEL_HOP)  # (B, N, MEL_WINDOW)
    size = frames.size(1) if padded.is_cuda else -(-_FRAMES_AT_A_TIME // len(padded))
    return torch.cat([_mel_of(part, dtype) for part in frames.split(size, dim=1)], dim=1)


def _mel_of(frames: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Frames of samples (B, N, MEL_WINDOW) float64 -> (B, N, M) of ``dtype``."""
    filters, window = mel_tables(frames.device)
    spectrum = torch.fft.rfft(frames * window)
    magnitude = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag).sqrt_()  # abs() takes three times as long
    sums = torch.promote_types(dtype, torch.float32)
    return (magnitude.to(sums) @ filters.to(sums)).clamp_(min=MEL_FLOOR).log10_().to(dtype)


def _reflected(waveform: torch.Tensor) -> torch.Tensor:
    """(1, S) -> (1, S + MEL_WINDOW) float64, as ``_reflected_index`` has it."""
    samples, half = waveform.size(1), MEL_WINDOW // 2
    if samples > half:
        return functional.pad(waveform.double(), (half, half), mode="reflect")
    if samples == 0:
        raise ValueError("log_mel needs at least one sample")
    return waveform.double().gather(1, _reflected_index(torch.tensor([samples], device=waveform.device), samples))


def _reflected_index(lengths: torch.Tensor, longest: int) -> torch.Tensor:
    """Where each padded sample comes from: int64 (B, longest + MEL_WINDOW).

    Reflection about the first and last sample is a triangle wave of period 2 (S - 1), which also covers utterances
    shorter than the half window, where the reflection is reflected again as in numpy's and librosa's padding.
    """
    half = MEL_WINDOW // 2
    position = torch.arange(-half, longest + half, device=lengths.device).abs()
    period = (2 * (lengths - 1)).clamp(min=1)[:, None]
    phase = position % period
    return torch.minimum(phase, period - phase) * (lengths > 1)[:, None]


@lru_cache(maxsize=8)
def mel_tables(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Mel filters (MEL_WINDOW / 2 + 1, M) and Hann window (MEL_WINDOW,), float64, kept for each device."""
    filters = torchaudio.functional.melscale_fbanks(
        n_freqs=MEL_WINDOW // 2 + 1,
        f_min=MEL_MIN_HZ,
        f_max=MEL_MAX_HZ,
        n_mels=MEL_BINS,
        sample_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return filters.to(device, torch.float64), torch.hann_window(MEL_WINDOW, dtype=torch.float64, device=device)


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
    """Length after resampling: torchaudio gives ceil(frames * new / old)."""
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

    Reading starts on a multiple of `old` input samples, where output and input instants coincide.
    """
    if not frames:  # torchaudio refuses nothing
        return np.zeros(0, dtype=np.float32)
    divisor = math.gcd(file.samplerate, SAMPLE_RATE)
    old, new = file.samplerate // divisor, SAMPLE_RATE // divisor
    reach = math.ceil(_RESAMPLE_ZEROS * old / (min(old, new) * _RESAMPLE_ROLLOFF))  # input samples each side
    lead = math.ceil(reach / old) + 1
    first = max(start // new - lead, 0)
    last = min(-(-(start + frames) // new) * old + lead * old, file.frames)
    wave = torch.from_numpy(_read_mono(file, path, first * old, last - first * old))
    wave = torchaudio.functional.resample(
        wave, old, new, lowpass_filter_width=_RESAMPLE_ZEROS, rolloff=_RESAMPLE_ROLLOFF
    )
    return wave[start - first * new :][:frames].numpy()
