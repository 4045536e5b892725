"""Audio files and the log-mel, against librosa."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import librosa
import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from speecht5_fairseq.data import npy
from speecht5_fairseq.data.audio import audio_info, log_mel, read_audio, read_speaker, write_audio
from speecht5_fairseq.data.errors import AudioError


def librosa_mel(wave):
    spectrum = np.abs(librosa.stft(wave, n_fft=1024, hop_length=256, pad_mode="reflect"))
    filters = librosa.filters.mel(sr=16000, n_fft=1024, n_mels=80, fmin=80, fmax=7600)
    return np.log10(np.maximum(1e-10, filters @ spectrum)).T


def signal(kind, length):
    seconds = np.arange(length) / 16000
    return {
        "noise": 0.1 * np.random.default_rng(0).standard_normal(length),
        "tone": 0.9 * np.sin(2 * np.pi * 440 * seconds),
        "silence": np.zeros(length),
    }[kind].astype(np.float32)


@pytest.mark.filterwarnings("ignore:n_fft=:UserWarning")
@pytest.mark.parametrize("kind", ["noise", "tone", "silence"])
@pytest.mark.parametrize("length", [1, 2, 3, 255, 256, 511, 512, 513, 1024, 16000, 16001])
def test_mel_is_librosas(kind, length):
    wave = signal(kind, length)
    ours, theirs = log_mel(torch.from_numpy(wave)).numpy(), librosa_mel(wave)
    assert ours.shape == theirs.shape == (1 + length // 256, 80) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_batched_mel_is_that_of_each_alone():
    lengths = torch.tensor([30000, 12345, 400, 1])
    waves = 0.1 * torch.randn(4, 30000, generator=torch.Generator().manual_seed(0))
    batch, frames = log_mel(waves, lengths)
    assert frames.tolist() == [118, 49, 2, 1] and batch.shape == (4, 118, 80)
    for row, length, mel, count in zip(waves, lengths, batch, frames, strict=True):
        torch.testing.assert_close(mel[:count], log_mel(row[:length]), rtol=0, atol=1e-6)
        assert not mel[count:].any()


def test_mel_refuses_nothing_and_unknown_lengths():
    with pytest.raises(ValueError, match="at least one sample"):
        log_mel(torch.zeros(0))
    with pytest.raises(ValueError, match="needs lengths"):
        log_mel(torch.zeros(2, 1000))


def test_stereo_is_averaged(tmp_path):
    wave = np.stack([np.full(1000, 0.5), np.full(1000, -0.25)], axis=1)
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), np.full(1000, 0.125, np.float32))
    assert audio_info(tmp_path / "a.wav") == (1000, 16000, 2)


def test_stretch(tmp_path):
    wave = signal("noise", 5000)
    soundfile.write(tmp_path / "a.flac", wave, 16000)
    whole = read_audio(tmp_path / "a.flac")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.flac", start=700, frames=300), whole[700:1000])
    np.testing.assert_array_equal(read_audio(tmp_path / "a.flac", start=700), whole[700:])
    with pytest.raises(AudioError, match="has 5000 samples.*not the 5001.*correct"):
        read_audio(tmp_path / "a.flac", start=1, frames=5000)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
def test_resampling(tmp_path, rate):
    wave = 0.1 * np.random.default_rng(0).standard_normal((rate + 37, 2))
    soundfile.write(tmp_path / "a.wav", wave, rate, subtype="FLOAT")
    mono = torch.from_numpy(wave.astype(np.float32).mean(axis=1))
    expected = torchaudio.functional.resample(mono, rate, 16000).numpy()
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), expected, atol=1e-6)
    assert audio_info(tmp_path / "a.wav").samples == len(expected)
    for start, frames in [(0, 100), (777, 5000), (len(expected) - 300, 300)]:
        part = read_audio(tmp_path / "a.wav", start=start, frames=frames)
        np.testing.assert_allclose(part, expected[start : start + frames], atol=1e-6)
    with pytest.raises(AudioError, match=rf"a.wav: the sample rate is {rate} Hz.*allow resampling"):
        read_audio(tmp_path / "a.wav", resample=False)


def test_unreadable_files(tmp_path):
    (tmp_path / "a.wav").write_text("no audio")
    for name, problem in [("a.wav", "not readable as audio.*convert"), ("b.wav", "no such audio file; correct")]:
        with pytest.raises(AudioError, match=f"{name}: {problem}"):
            read_audio(tmp_path / name)


def test_write_audio_round_trip(tmp_path):
    wave = signal("tone", 1000)
    write_audio(tmp_path / "a.wav", torch.from_numpy(wave))
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), wave, atol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    ("vector", "problem"),
    [(np.ones(256), "shape .256"), (np.ones((1, 512)), "shape .1, 512"), (np.zeros(512), "all zero"),
     (np.full(512, np.nan), "NaN"), (None, "no readable")],
)  # fmt: skip
def test_speaker_vector_errors(tmp_path, vector, problem):
    if vector is not None:
        np.save(tmp_path / "v.npy", vector)
    with pytest.raises(AudioError, match=f"v.npy: .*{problem}.*manifest_tools.speaker_vectors"):
        read_speaker(tmp_path / "v.npy")


@pytest.mark.parametrize("name", ["a.txt", "a", "a.ogg", "a.mp3"])
def test_a_name_without_a_format_of_16_bits_is_refused(tmp_path, name):
    with pytest.raises(AudioError, match=f"{name}: no audio of 16 bits can be written under this name; give .wav"):
        write_audio(tmp_path / name, torch.zeros(100))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.wav", "a.WAV", "a.flac", "a.aiff"])
def test_names_with_one_are_written(tmp_path, name):
    write_audio(tmp_path / name, torch.zeros(100))
    assert soundfile.info(tmp_path / name).subtype == "PCM_16"


def test_speaker_vectors_are_read_one_at_a_time(tmp_path, monkeypatch):
    """Threads that verify a manifest: numpy parses headers with a parser that two threads of Python 3.11 upset."""
    np.save(tmp_path / "speaker.npy", np.ones(512, np.float32))
    read, reading, most = npy.npy_format.read_magic, [], []

    def slow_read(file):
        reading.append(1)
        most.append(len(reading))
        time.sleep(0.002)
        reading.pop()
        return read(file)

    monkeypatch.setattr(npy.npy_format, "read_magic", slow_read)
    with ThreadPoolExecutor(8) as pool:
        vectors = list(pool.map(read_speaker, [tmp_path / "speaker.npy"] * 32))
    assert len(vectors) == 32 and max(most) == 1


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path, kind in ((tmp_path / "pipe.wav", "a pipe"), (tmp_path, "a folder"), ("/dev/zero", "a device")):
        with pytest.raises(AudioError, match=f"^{path}: {kind}, not an audio file; correct the path"):
            audio_info(path)
        with pytest.raises(AudioError, match=f"^{path}: no readable speaker vector .it is {kind}, not a file.; make"):
            read_speaker(path)


def with_rate(path, rate, samples=400):
    soundfile.write(path, np.full(samples, 0.1), 16000)
    data = bytearray(path.read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("rate", [1, 999, (1 << 31) - 1])
def test_a_rate_that_no_recording_has_is_refused(tmp_path, rate):
    with pytest.raises(AudioError, match=f"a.wav: the header claims {rate} Hz, 400 frames, 1 channels; copy or conv"):
        audio_info(with_rate(tmp_path / "a.wav", rate))


@pytest.mark.parametrize("rate", [16001, 44101, 47999])
def test_a_rate_whose_filter_would_take_gigabytes_is_refused(tmp_path, rate):
    with pytest.raises(AudioError, match=f"the sample rate of {rate} Hz and 16000 have no common divisor"):
        read_audio(with_rate(tmp_path / "a.wav", rate))


@pytest.mark.parametrize("rate", [8000, 11025, 12345, 22050, 24000, 32000, 37800, 44100, 48000, 88200, 96000, 192000])
def test_rates_of_recordings_are_read(tmp_path, rate):
    assert len(read_audio(with_rate(tmp_path / "a.wav", rate))) == -(-400 * 16000 // rate)


def test_samples_that_the_file_does_not_hold(tmp_path):
    """A FLAC's header may claim 2 ** 36 - 1: they are not allocated, or not touched."""
    soundfile.write(tmp_path / "a.flac", np.zeros(2000), 16000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] |= 15
    data[22:26] = b"\xff" * 4
    (tmp_path / "a.flac").write_bytes(data)
    assert audio_info(tmp_path / "a.flac").samples == (1 << 36) - 1
    with pytest.raises(AudioError, match="a.flac: (cannot be decoded|ends .* samples early)"):
        read_audio(tmp_path / "a.flac")


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_file_without_a_sample_is_empty_at_every_rate(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 2)), rate)
    wave = read_audio(tmp_path / "a.wav")
    assert wave.shape == (0,) and wave.dtype == np.float32


def test_raw_samples_are_refused_by_name(tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(100))
    with pytest.raises(AudioError, match="a.raw: not readable as audio"):
        audio_info(tmp_path / "a.raw")
