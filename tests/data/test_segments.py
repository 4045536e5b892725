"""Segments of long recordings: the same samples as that stretch of the whole, and errors that name what is wrong."""

import os
import tarfile
import zipfile

import numpy as np
import pytest
import soundfile
from helpers import tiny_manifest

from speecht5_fairseq.data import audio
from speecht5_fairseq.data.archives import file_exists, file_state, holder, inside
from speecht5_fairseq.data.audio import audio_info, read_audio
from speecht5_fairseq.data.base import SpeechDataset
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.errors import AudioError, ManifestError
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest
from speecht5_fairseq.data.segments import Segment, recording_of, segment_of, utterance_path


def talk(path, rate=16000, seconds=3.0, channels=1):
    time = np.arange(int(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * 440 * time) + 0.1 * np.random.default_rng(0).standard_normal(len(time))
    soundfile.write(path, np.stack([wave] * channels, axis=1), rate, subtype="PCM_16")
    return path


@pytest.mark.parametrize(
    ("path", "segment"),
    [
        ("talks/1.flac:16000:32000", Segment("talks/1.flac", 16000, 32000)),
        ("a:b/1.flac:0:1", Segment("a:b/1.flac", 0, 1)),
        ("0001.tar:talks/1.flac:5:6", Segment("0001.tar:talks/1.flac", 5, 6)),
        ("0001.tar:5:6", None),  # a member
        ("0001.ZIP:5:6", None),
        ("talks/1.flac", None),
        ("12:30.wav", None),
        ("talks/1.flac:-5:6", None),
        ("talks/1.flac:5:6.npy", None),  # a speaker vector of a segment
        ("talks/1.flac:٣:٤", None),
        ("talks/1.flac:5:" + "9" * 16, None),
    ],
)
def test_what_is_a_segment(path, segment):
    assert segment_of(path) == segment and recording_of(path) == (path if segment is None else segment.recording)
    assert segment is None or segment.path() == path


def test_names_of_utterances():
    assert str(utterance_path("talks/1.flac:160:320")) == "talks/1-160-320"
    assert str(utterance_path("talks/1.en.flac")) == "talks/1.en"


def test_a_file_of_such_a_name_is_that_file(tmp_path):
    path = talk(tmp_path / "odd.wav", seconds=1).rename(tmp_path / "odd.wav:100:200")
    assert segment_of(path) is None and len(read_audio(path)) == 16000 and file_state(path) is not None


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_segment_is_that_stretch_of_the_resampled_whole(tmp_path, rate, suffix):
    path = talk(tmp_path / f"talk.{suffix}", rate, channels=2)
    whole = read_audio(path)
    for start, samples in [(0, 400), (777, 5000), (16000, 16001), (len(whole) - 401, 401), (0, len(whole))]:
        named = f"{path}:{start}:{samples}"
        assert audio_info(named) == (samples, rate, 2)
        np.testing.assert_allclose(read_audio(named), whole[start : start + samples], atol=1e-6)
        crop = read_audio(named, start=100, frames=250)
        np.testing.assert_allclose(crop, whole[start + 100 : start + 350], atol=1e-6)


def test_only_the_segment_is_read(tmp_path, monkeypatch):
    path, read, plain = talk(tmp_path / "talk.flac", seconds=60), [], soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda self, frames, **how: read.append(frames) or plain(self, frames, **how)
    )
    assert len(read_audio(f"{path}:800000:1600")) == 1600 and read == [1600]


@pytest.mark.parametrize("archive", ["talks.tar", "stored.zip", "deflated.zip"])
def test_segments_of_members(tmp_path, archive):
    path, place = talk(tmp_path / "talk.flac", 48000), tmp_path / archive
    if archive.endswith("tar"):
        with tarfile.open(place, "w") as tar:
            tar.add(path, "a/talk.flac")
    else:
        with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED if "deflated" in archive else zipfile.ZIP_STORED) as file:
            file.write(path, "a/talk.flac")
    named = f"{place}:a/talk.flac:8000:4000"
    np.testing.assert_array_equal(read_audio(named), read_audio(f"{path}:8000:4000"))
    assert inside(named) == (str(place), "a/talk.flac") and holder(named) == place
    assert file_state(named) == file_state(f"{place}:a/talk.flac") and file_exists(named)
    with pytest.raises(AudioError, match=r"a/tlak.flac: no such member .*near a/talk.flac"):
        read_audio(f"{place}:a/tlak.flac:8000:4000")


def test_a_segment_outside_of_its_recording_is_named(tmp_path):
    path = talk(tmp_path / "talk.wav", 48000)
    problem = rf"{path}:47000:1001: the segment ends at sample 48001, the recording at 48000 .*correct its start"
    for function in (audio_info, read_audio):
        with pytest.raises(AudioError, match=problem):
            function(f"{path}:47000:1001")
    with pytest.raises(AudioError, match="has 1000 samples at 16000 Hz, not the 1001 asked for"):
        read_audio(f"{path}:47000:1000", start=1, frames=1000)
    with pytest.raises(AudioError, match="nowhere.wav:0:5: no such audio file"):
        read_audio(tmp_path / "nowhere.wav:0:5")


def test_files_and_times_are_the_recordings(tmp_path):
    path = talk(tmp_path / "talk.wav")
    assert file_state(f"{path}:0:5") == file_state(path) and holder(f"{path}:0:5") == path
    assert not file_exists(tmp_path / "nowhere.wav:0:5")


@pytest.fixture
def manifest(tmp_path):
    talk(tmp_path / "talk.flac", 48000)
    rows = [(f"talk.flac:{start}:{samples}", samples) for start, samples in ((0, 16000), (16000, 24000), (40000, 8000))]
    write_manifest(tmp_path / "train.tsv", ".", rows)
    return tmp_path / "train.tsv"


def test_datasets_read_and_crop_segments(manifest):
    data = SpeechDataset(Manifest.open(manifest, JOB_COLUMNS["s2t"]), seed=1, training=True, crop_samples=20000)
    whole = read_audio(manifest.with_name("talk.flac"))
    assert data.sizes.tolist() == [16000, 20000, 8000]
    np.testing.assert_allclose(data.read(1), whole[16000:40000], atol=1e-6)
    np.testing.assert_allclose(data.read(1, 1000, 20000), whole[17000:37000], atol=1e-6)
    with pytest.raises(ManifestError, match=r"train.tsv:3: .*talk.flac:16000:24000: has 24000 samples"):
        data.read(1, 1000, 24000)  # the recording goes on, the segment does not


def test_verification_names_bad_segments_and_stamps_good_ones(manifest):
    def checked():
        return verify(Manifest.open(manifest, JOB_COLUMNS["s2t"]), progress=False)

    assert checked().total_problems == 0 and checked().from_stamp
    os.utime(manifest.with_name("talk.flac"), ns=(0, 0))  # another recording, for all that is known
    assert not checked().from_stamp
    write_manifest(manifest, ".", [("talk.flac:0:16000", 15999), ("talk.flac:40000:8001", 8001)])
    first, second = checked().problems
    assert "train.tsv:2: samples is 15999, the audio has 16000 at 16 kHz" in first
    assert "train.tsv:3: " in second and "the segment ends at sample 48001, the recording at 48000" in second


def test_segments_beside_whole_files_of_tiny_manifests(tmp_path):
    """A segment that is all of its recording is the same utterance."""
    whole = Manifest.open(tiny_manifest(tmp_path, 2), JOB_COLUMNS["s2t"])
    named = [(f"{whole.row(i)['path']}:0:{whole.samples[i]}", int(whole.samples[i])) for i in range(2)]
    write_manifest(tmp_path / "named.tsv", whole.lines[0], named)
    other = Manifest.open(tmp_path / "named.tsv", JOB_COLUMNS["s2t"])
    for index in range(2):
        np.testing.assert_array_equal(audio.read_audio(other.path(index)), audio.read_audio(whole.path(index)))
