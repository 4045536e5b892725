"""Speaker vectors: shape, what they tell apart, manifests."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import write_lines, write_speech

from manifest_tools import speaker_vectors
from manifest_tools.pack import pack_manifest
from manifest_tools.speaker_statistics import _resemblyzer, resemblyzer_vector, statistics_vector
from manifest_tools.speaker_vectors import compute_vector, prepare_speaker_vectors
from speecht5_fairseq.data.errors import AudioError
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest
from speecht5_fairseq.data.speaker import read_speaker


def voice(colour, seed, seconds=2.0):
    """Noise bursts through a two-pole filter: `colour` stands for the speaker, `seed` for what is said."""
    rng = np.random.default_rng(seed)
    count = int(16000 * seconds)
    frequency = np.fft.rfftfreq(count, 1 / 16000)
    shape = 1 / (1 + ((frequency - colour) / 500) ** 2)
    wave = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * shape, count)
    bursts = np.repeat(rng.uniform(0.2, 1.0, size=count // 1600 + 1), 1600)[:count]
    return (0.1 * wave * bursts / np.abs(wave).max()).astype(np.float32)


def colour_at_peak(wave):
    return np.eye(4)[int(np.argmax(np.abs(np.fft.rfft(wave)))) % 4]


def wrong_shape(wave):
    return np.ones((2, 3))


@pytest.fixture
def data(tmp_path):
    rows = {"train": [], "valid": []}
    for speaker, colour in (("ann", 600.0), ("bob", 2500.0)):
        (tmp_path / "audio" / speaker).mkdir(parents=True)
        for number, split in enumerate(["train", "train", "valid"]):
            name = f"{speaker}/{number}.wav"
            soundfile.write(tmp_path / "audio" / name, voice(colour, number, 0.5), 16000)
            rows[split].append((name, 8000))
    for split in rows:
        write_manifest(tmp_path / f"{split}.tsv", "audio", rows[split])
    return tmp_path


def test_statistics_have_the_documented_properties():
    ann, ann_again, bob = (statistics_vector(voice(*who)) for who in ((600, 0), (600, 1), (2500, 2)))
    assert ann.shape == (512,) and ann.dtype == np.float32
    assert np.linalg.norm(ann) == pytest.approx(1.0, abs=1e-5)
    assert ann @ ann_again > ann @ bob + 0.1
    assert np.array_equal(ann, statistics_vector(voice(600, 0)))
    assert ann @ statistics_vector(0.1 * voice(600, 0)) > 0.999  # the level is no part of it
    quiet_end = np.concatenate([voice(600, 0), np.full(8000, 1e-5, dtype=np.float32)])
    assert ann @ statistics_vector(quiet_end) > 0.99  # pauses are no part of it


def test_silence_has_no_speaker():
    with pytest.raises(ValueError, match="is the audio silent"):
        statistics_vector(np.zeros(16000, dtype=np.float32))


def test_manifests_get_a_third_column(data):
    rows = prepare_speaker_vectors([data / "train.tsv", data / "valid.tsv"], data / "speakers")
    assert rows == {data / "train.tsv": 4, data / "valid.tsv": 2}
    manifest = Manifest.open(data / "train.tsv", JOB_COLUMNS["t2s"])
    assert manifest.lines[0] == "audio" and manifest.samples.tolist() == [8000] * 4
    vectors = [read_speaker(manifest.path(index, "speaker")) for index in range(4)]
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_again_does_only_what_is_missing(data, monkeypatch):
    prepare_speaker_vectors([data / "train.tsv"], data / "speakers")
    content = (data / "train.tsv").read_text()
    monkeypatch.setitem(speaker_vectors.EXTRACTORS, "statistics", None)  # calling it would fail
    prepare_speaker_vectors([data / "train.tsv"], data / "speakers")
    assert (data / "train.tsv").read_text() == content
    with pytest.raises(ValueError, match="holds vectors of --extractor statistics; choose another --out"):
        prepare_speaker_vectors([data / "train.tsv"], data / "speakers", extractor="resemblyzer")


def test_one_vector_a_speaker(data):
    manifests = [data / "train.tsv", data / "valid.tsv"]
    prepare_speaker_vectors(manifests, data / "speakers", speaker_level=1)
    train, valid = (Manifest.open(path, JOB_COLUMNS["t2s"]) for path in manifests)
    assert [train.path(i, "speaker").name for i in range(4)] == ["ann.npy"] * 2 + ["bob.npy"] * 2
    assert train.path(0, "speaker").resolve() == valid.path(0, "speaker").resolve()
    vectors = [np.load(data / f"speakers/ann/{number}.wav.npy") for number in range(3)]
    mean = np.mean(vectors, axis=0)
    assert np.allclose(read_speaker(valid.path(0, "speaker")), mean / np.linalg.norm(mean), atol=1e-6)
    table = write_lines(data / "table.tsv", [f"{name}/{n}.wav\tsame" for name in ("ann", "bob") for n in range(3)])
    prepare_speaker_vectors(manifests, data / "speakers", speaker_table=table)
    assert Manifest.open(manifests[0], JOB_COLUMNS["t2s"]).path(3, "speaker").name == "same.npy"


def test_speakers_that_are_not_known_are_errors(data):
    with pytest.raises(ValueError, match="--speaker-level 2: 'ann/0.wav' lies in 1 folders; choose 1 to 1"):
        prepare_speaker_vectors([data / "train.tsv"], data / "speakers", speaker_level=2)
    table = write_lines(data / "table.tsv", ["ann/0.wav\tann", "ann/1.wav"])
    with pytest.raises(ValueError, match="table.tsv:2"):
        prepare_speaker_vectors([data / "train.tsv"], data / "speakers", speaker_table=table)
    write_lines(table, ["ann/0.wav\tann"])
    with pytest.raises(ValueError, match="train.tsv:3: no speaker for 'ann/1.wav'"):
        prepare_speaker_vectors([data / "train.tsv"], data / "speakers", speaker_table=table)
    with pytest.raises(ValueError, match="give one"):
        prepare_speaker_vectors([data / "train.tsv"], data / "s", speaker_table=table, speaker_level=1)
    assert "\tspeaker" not in (data / "train.tsv").read_text()


def test_extractors_are_pluggable_and_checked(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "my_speakers", sys.modules[__name__])
    prepare_speaker_vectors([data / "train.tsv"], data / "mine", extractor="my_speakers:colour_at_peak")
    vector = read_speaker(data / "mine/ann/0.wav.npy")
    assert vector.shape == (512,) and not vector[4:].any()
    with pytest.raises(ValueError, match=r"train.tsv:2: .*gave shape \(2, 3\)"):
        prepare_speaker_vectors([data / "train.tsv"], data / "wrong", extractor="my_speakers:wrong_shape")
    with pytest.raises(ValueError, match="choose one of statistics, resemblyzer, or name a function"):
        compute_vector(np.ones(16000, dtype=np.float32), "unknown")


def test_without_resemblyzer_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "resemblyzer", None)  # importing it fails
    _resemblyzer.cache_clear()
    with pytest.raises(ImportError, match=r"pip install -c constraints.txt -e '.\[speakers\]'.*--extractor statistics"):
        resemblyzer_vector(voice(600, 0))
    root = Path(__file__).resolve().parents[2]
    assert '"speakers": SPEAKERS' in (root / "setup.py").read_text()
    assert "\nresemblyzer==" in (root / "constraints.txt").read_text()


def test_resemblyzer():
    pytest.importorskip("resemblyzer")
    vector = resemblyzer_vector(voice(600, 0))
    assert vector.shape == (512,) and not vector[256:].any()
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_same_names_with_other_suffixes_do_not_share_a_vector(tmp_path):
    (name, samples), *_ = write_speech(tmp_path / "audio", 1)
    wave, _ = soundfile.read(tmp_path / "audio" / name)
    soundfile.write(tmp_path / "audio/0.flac", wave[::-1], 16000)
    write_manifest(tmp_path / "train.tsv", "audio", [(name, samples), ("0.flac", samples)])
    prepare_speaker_vectors([tmp_path / "train.tsv"], tmp_path / "speakers")
    assert sorted(path.name for path in (tmp_path / "speakers").glob("*.npy")) == ["0.flac.npy", "0.wav.npy"]


def test_a_broken_recording_does_not_keep_the_others_from_their_vectors(data):
    soundfile.write(data / "audio/ann/0.wav", np.zeros(8000), 16000)
    (data / "audio/bob/1.wav").write_bytes(b"")
    content = (data / "train.tsv").read_text()
    with pytest.raises(
        AudioError, match=r"(?s)train.tsv:2: .*ann/0.wav: .*silent.*train.tsv:5: .*bob/1.wav: not readable"
    ):
        prepare_speaker_vectors([data / "train.tsv"], data / "speakers")
    assert sorted(path.name for path in (data / "speakers").rglob("*.npy")) == ["0.wav.npy", "1.wav.npy"]
    assert (data / "train.tsv").read_text() == content


def test_recordings_in_archives_have_the_vectors_of_files_and_keep_them(data, tmp_path):
    pack_manifest(data / "train.tsv", tmp_path / "packed", job="s2t", n_jobs=1)
    for folder in (data, tmp_path / "packed"):
        prepare_speaker_vectors([folder / "train.tsv"], folder / "speakers")
    plain, packed = (Manifest.open(f / "train.tsv", JOB_COLUMNS["t2s"]) for f in (data, tmp_path / "packed"))
    for row in range(4):
        np.testing.assert_array_equal(
            read_speaker(packed.path(row, "speaker")), read_speaker(plain.path(row, "speaker"))
        )
    before = packed.path(0, "speaker").stat().st_mtime_ns
    prepare_speaker_vectors([tmp_path / "packed/train.tsv"], tmp_path / "packed/speakers")
    assert packed.path(0, "speaker").stat().st_mtime_ns == before
