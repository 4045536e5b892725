"""Audio files in and out."""

import os

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from speecht5_fairseq.data.audio import audio_info, read_audio, write_audio
from speecht5_fairseq.data.errors import AudioError
from speecht5_fairseq.data.speaker import read_speaker


def test_stereo_is_averaged(tmp_path):
    wave = np.stack([np.full(1000, 0.5), np.full(1000, -0.25)], axis=1)
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), np.full(1000, 0.125, np.float32))
    assert audio_info(tmp_path / "a.wav") == (1000, 16000, 2)


def test_stretch(tmp_path):
    wave = np.random.default_rng(0).uniform(-0.9, 0.9, 5000).astype(np.float32)
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


@pytest.mark.parametrize("rate, samples", [(11025, 45505), (22050, 90569), (44100, 180697)])
def test_no_sample_is_lost_where_float32_counts_too_few(tmp_path, rate, samples):
    """torchaudio's own length of these is one short: ceil of 66039.0023 in float32 is 66039."""
    wave = 0.1 * np.random.default_rng(0).standard_normal(samples)
    soundfile.write(tmp_path / "a.wav", wave, rate, subtype="FLOAT")
    mono = torch.from_numpy(wave.astype(np.float32))
    total = -(-samples * 16000 // rate)
    assert len(torchaudio.functional.resample(mono, rate, 16000)) == total - 1
    expected = torchaudio.functional.resample(torch.nn.functional.pad(mono, (0, rate)), rate, 16000).numpy()[:total]
    found = read_audio(tmp_path / "a.wav")
    assert audio_info(tmp_path / "a.wav").samples == len(found) == total
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav", start=1000), expected[1000:], atol=1e-6)


def test_unreadable_files(tmp_path):
    (tmp_path / "a.wav").write_text("no audio")
    for name, problem in [("a.wav", "not readable as audio.*convert"), ("b.wav", "no such audio file; correct")]:
        with pytest.raises(AudioError, match=f"{name}: {problem}"):
            read_audio(tmp_path / name)


def test_write_audio_round_trip(tmp_path):
    wave = 0.9 * np.sin(np.arange(1000) / 10).astype(np.float32)
    write_audio(tmp_path / "a.wav", torch.from_numpy(wave))
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), wave, atol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("name", ["a.txt", "a", "a.ogg", "a.mp3"])
def test_a_name_without_a_format_of_16_bits_is_refused(tmp_path, name):
    with pytest.raises(AudioError, match=f"{name}: no audio of 16 bits can be written under this name; give .wav"):
        write_audio(tmp_path / name, torch.zeros(100))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.wav", "a.WAV", "a.flac", "a.aiff"])
def test_names_with_one_are_written(tmp_path, name):
    write_audio(tmp_path / name, torch.zeros(100))
    assert soundfile.info(tmp_path / name).subtype == "PCM_16"


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
