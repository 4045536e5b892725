"""Noisy versions of clean recordings: levels, seeds, whose noise it is, manifests, going on after an interruption."""

import json
import os

import numpy as np
import pytest
import soundfile
from helpers import write_lines, write_speech

from manifest_tools import levels
from manifest_tools.corpora import sound_name
from manifest_tools.levels import active_power, mix
from manifest_tools.mix_noise import main, mix_manifests
from manifest_tools.noises import KINDS, find_source, split_of_manifest, stretch_of
from manifest_tools.pack import pack_manifest
from manifest_tools.voices import VectorOptions
from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest
from speecht5_fairseq.data.speaker import read_speaker

VECTORS = VectorOptions()


@pytest.fixture
def clean(tmp_path):
    """Manifests of three splits of four recordings, with texts."""
    for split in ("train", "valid", "test"):
        rows = write_speech(tmp_path / "clean/wav" / split, 4, seed=ord(split[0]))
        write_manifest(tmp_path / f"clean/{split}.tsv", "wav", [(f"{split}/{name}", n) for name, n in rows])
        write_lines(tmp_path / f"clean/{split}.txt", [f"text {number}" for number in range(4)])
    return tmp_path / "clean"


@pytest.fixture
def noise_file(tmp_path):
    """A minute of 8 kHz stereo noise that gets louder, so that every place is another."""
    wave = np.random.default_rng(5).standard_normal((480_000, 2)) * np.linspace(0.01, 0.2, 480_000)[:, None]
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise/crowd.wav", wave, 8000)
    return tmp_path / "noise"


def mixes(path):
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def with_speaker(manifest, vector):
    """Give the rows of a manifest one vector; returns them as they were."""
    np.save(vector, np.ones(512, dtype=np.float32))
    rows = [line.split("\t") for line in manifest.read_text().splitlines()[1:]]
    write_manifest(manifest, "wav", [(*row, vector) for row in rows])
    return rows


def test_the_ratio_is_that_of_active_speech_and_nothing_clips():
    rng = np.random.default_rng(0)
    speech = np.concatenate([np.zeros(16000), 0.3 * rng.standard_normal(16000)]).astype(np.float32)
    noise = 0.001 * rng.standard_normal(32000).astype(np.float32)
    assert active_power(speech) == pytest.approx(0.09, rel=0.05)  # the pause does not count
    mixture = mix(speech, noise, 10.0)
    ratio = active_power(mixture.clean) / np.mean((mixture.noisy - mixture.clean) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(10.0, abs=0.01)
    assert mixture.gain < 1 and np.abs(mixture.noisy).max() <= levels.PEAK + 1e-6
    assert np.allclose(mixture.clean, speech * mixture.gain)
    assert mix(0.1 * speech, noise, 20.0).gain == 1.0
    for pair in ((speech, 0 * noise), (0 * speech, noise)):
        with pytest.raises(ValueError, match="is silent"):
            mix(*pair, 0.0)
    for bad in (np.nan, np.inf):
        broken = np.append(speech[:-1], np.float32(bad))
        for pair, what in (((broken, noise), "recording"), ((speech, broken), "noise")):
            with pytest.raises(ValueError, match=f"^the {what} holds NaN or infinity$"):
                mix(*pair, 0.0)


def test_mixtures_and_their_manifest(clean, noise_file, tmp_path):
    out = tmp_path / "out"
    manifests = [clean / f"{split}.tsv" for split in ("train", "valid", "test")]
    sources = [str(noise_file), "synthetic:pink"]
    sizes = mix_manifests(manifests, out, noise=sources, snr=(-5, 15), vectors=VECTORS)
    assert [(size.split, size.rows) for size in sizes] == [("train", 4), ("valid", 4), ("test", 4)]
    for split in ("train", "valid", "test"):
        manifest = Manifest.open(out / f"{split}.tsv", JOB_COLUMNS["s2s"])
        assert verify(manifest, progress=False).total_problems == 0
        assert (out / f"{split}.txt").read_text() == (clean / f"{split}.txt").read_text()
        for row, line in enumerate(mixes(out / f"{split}.mix.tsv")):
            speech, noisy = (read_audio(manifest.path(row, column)) for column in ("target_path", "path"))
            ratio = 10 * np.log10(active_power(speech) / np.mean((noisy - speech) ** 2))
            assert ratio == pytest.approx(float(line["snr_db"]), abs=0.1) and -5 <= ratio <= 15.1
            original = read_audio(clean / "wav" / line["path"])
            assert np.allclose(speech, original * float(line["gain"]), atol=2e-4)


def test_recordings_in_archives_are_mixed_once(clean, tmp_path):
    pack_manifest(clean / "test.tsv", tmp_path / "packed", job="s2t", n_jobs=1)
    times = []
    for _ in range(2):
        mix_manifests([tmp_path / "packed/test.tsv"], tmp_path / "out", noise=["synthetic:pink"], vectors=VECTORS)
        manifest = Manifest.open(tmp_path / "out/test.tsv", JOB_COLUMNS["s2s"])
        verify(manifest, progress=False).raise_problems()
        times.append([manifest.path(row).stat().st_mtime_ns for row in range(4)])
    assert times[0] == times[1]


def test_more_rows_change_no_other_row(clean, tmp_path):
    options = {"noise": ["synthetic:white", "synthetic:hum"], "vectors": VECTORS}
    mix_manifests([clean / "train.tsv"], tmp_path / "a", **options)
    rows = (clean / "train.tsv").read_text().splitlines()
    write_lines(
        clean / "train.tsv", [rows[0], "test/0.wav\t" + str(len(read_audio(clean / "wav/test/0.wav"))), *rows[1:]]
    )
    (clean / "train.txt").unlink()
    mix_manifests([clean / "train.tsv"], tmp_path / "b", **options)
    first, second = (mixes(tmp_path / f"{name}/train.mix.tsv") for name in "ab")
    assert second[1:] == first and second[0]["path"] == "test/0.wav"
    name = "wav/train/noisy/train/2.wav"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    mix_manifests([clean / "train.tsv"], tmp_path / "c", seed=2, **options)
    assert mixes(tmp_path / "c/train.mix.tsv")[1]["snr_db"] != first[0]["snr_db"]


def test_an_interrupted_run_goes_on(clean, tmp_path):
    options = {"noise": ["synthetic:brown"]}
    (tmp_path / "keep").mkdir()
    target = clean / "wav/train/2.wav"
    target.rename(tmp_path / "keep/2.wav")
    rows = with_speaker(clean / "train.tsv", tmp_path / "v.npy")
    with pytest.raises(ValueError, match="no such audio file"):
        mix_manifests([clean / "train.tsv"], tmp_path / "out", **options)
    assert not (tmp_path / "out/train.tsv").exists()
    assert len((tmp_path / "out/train.mix.part").read_text().splitlines()) == 2
    before = (tmp_path / "out/wav/train/noisy/train/0.wav").stat().st_mtime_ns
    (tmp_path / "keep/2.wav").rename(target)
    mix_manifests([clean / "train.tsv"], tmp_path / "out", **options)
    assert (tmp_path / "out/wav/train/noisy/train/0.wav").stat().st_mtime_ns == before
    assert [line["path"] for line in mixes(tmp_path / "out/train.mix.tsv")] == [row[0] for row in rows]
    assert not (tmp_path / "out/train.mix.part").exists()
    manifest = Manifest.open(tmp_path / "out/train.tsv", JOB_COLUMNS["s2s"])
    assert read_speaker(manifest.path(0, "speaker")).sum() == 512
    with pytest.raises(ValueError, match=r"--snr was \[-5.0, 15.0\].*choose another --out"):
        mix_manifests([clean / "train.tsv"], tmp_path / "out", snr=(0.0, 5.0), **options)


@pytest.mark.parametrize("torn", [2, 40])
def test_a_line_that_a_stop_cut_is_not_believed(clean, tmp_path, torn):
    """Not even one that lacks the end of its last number alone, and so has every field."""
    options, out = {"noise": ["synthetic:pink"]}, tmp_path / "out"
    with_speaker(clean / "train.tsv", tmp_path / "v.npy")
    mix_manifests([clean / "train.tsv"], tmp_path / "whole", **options)
    (clean / "wav/train/2.wav").rename(tmp_path / "2.wav")
    for _ in range(2):  # the second writes after the torn line
        with pytest.raises(ValueError, match="no such audio file"):
            mix_manifests([clean / "train.tsv"], out, **options)
        written = (out / "train.mix.part").read_bytes()
        assert written in (tmp_path / "whole/train.mix.tsv").read_bytes() and written.count(b"\n") == 2
        (out / "train.mix.part").write_bytes(written[:-torn])
    (tmp_path / "2.wav").rename(clean / "wav/train/2.wav")
    mix_manifests([clean / "train.tsv"], out, **options)
    for name in ("train.mix.tsv", "train.tsv"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_mixtures_of_another_corpus_are_not_taken_for_its_own(clean, tmp_path):
    """Recordings of the same names, that are older than the mixtures: the other voice of the prompts, say."""
    out, other = tmp_path / "out", tmp_path / "other"
    write_manifest(other / "train.tsv", "wav", [(f"train/{n}", s) for n, s in write_speech(other / "wav/train", 4)])
    manifests = [folder / "train.tsv" for folder in (clean, other)]
    for manifest in manifests:
        with_speaker(manifest, tmp_path / "v.npy")
        for number in range(4):
            os.utime(manifest.parent / f"wav/train/{number}.wav", ns=(10**18, 10**18))
    made = []
    for number, manifest in enumerate(manifests):
        mix_manifests([manifest], tmp_path / f"alone{number}", noise=["synthetic:pink"])
        mix_manifests([manifest], out, noise=["synthetic:pink"])
        made.append([mixes(folder / "train.mix.tsv")[1] for folder in (out, tmp_path / f"alone{number}")])
        assert (out / "train.tsv").read_bytes() == (tmp_path / f"alone{number}/train.tsv").read_bytes()
        name = "wav/train/clean/train/2.wav"
        assert (out / name).read_bytes() == (tmp_path / f"alone{number}" / name).read_bytes()
    assert made[0][0] == made[0][1] != made[1][0] == made[1][1]
    before = (out / name).stat().st_mtime_ns
    mix_manifests([other / "train.tsv"], out, noise=["synthetic:pink"])
    assert (out / name).stat().st_mtime_ns == before
    (clean / "wav/train/3.wav").unlink()
    with pytest.raises(ValueError, match="no such audio file"):  # a stop: the listing would tell of the other corpus
        mix_manifests([clean / "train.tsv"], out, noise=["synthetic:pink"])
    (out / "train.mix.part").unlink()
    mix_manifests([other / "train.tsv"], out, noise=["synthetic:pink"])
    assert (out / name).read_bytes() == (tmp_path / "alone1" / name).read_bytes()


def test_noise_that_changed_meanwhile_is_told(clean, noise_file, tmp_path):
    with_speaker(clean / "train.tsv", tmp_path / "v.npy")
    options, out = {"noise": [str(noise_file)]}, tmp_path / "out"
    mix_manifests([clean / "train.tsv"], out, **options)
    settings = json.loads((out / "train.mix.json").read_text())
    soundfile.write(noise_file / "crowd.wav", 0.1 * np.ones(500_000), 8000)
    with pytest.raises(ValueError, match="train.mix.json: .* other options .--noise had other sound files.; choose an"):
        mix_manifests([clean / "train.tsv"], out, **options)
    del settings["sounds"]  # as 0.6.0 wrote it, whose listing does not name recordings
    (out / "train.mix.json").write_text(json.dumps(settings))
    lines = [line.rsplit("\t", 3)[0] for line in (out / "train.mix.tsv").read_text().splitlines()]
    write_lines(out / "train.mix.tsv", lines)
    before = (out / "wav/train/noisy/train/0.wav").stat().st_mtime_ns
    mix_manifests([clean / "train.tsv"], out, **options)
    assert (out / "wav/train/noisy/train/0.wav").stat().st_mtime_ns > before


def test_splits_never_share_noise(noise_file):
    minute = noise_file / "crowd.wav"
    spans = [stretch_of(minute, "crowd.wav", split) for split in ("train", "valid", "test")]
    assert [(span.start, span.start + span.samples) for span in spans] == [
        (0, 672_000), (672_000, 768_000), (768_000, 960_000),
    ]  # fmt: skip
    soundfile.write(noise_file / "short.wav", 0.1 * np.ones(16000), 16000)
    owners = [split for split in ("train", "valid", "test") if stretch_of(noise_file / "short.wav", "short.wav", split)]
    assert len(owners) == 1
    others = next(split for split in ("train", "valid", "test") if split not in owners)
    with pytest.raises(ValueError, match=f"none of its 1 files is for the {others} split; give more files"):
        find_source(str(noise_file / "short.wav"), others, noise_file, None)
    assert [split_of_manifest(noise_file / name) for name in ("train-a.tsv", "dev.tsv", "test.tsv")] == [
        "train", "valid", "test",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="let it start with train, valid, dev or test"):
        split_of_manifest(noise_file / "all.tsv")


def test_babble_of_the_split_s_own_talkers(clean, tmp_path):
    for split in ("train", "test"):
        source = find_source("synthetic:babble", split, tmp_path, clean)
        assert {stretch.path.parent.name for stretch in source.stretches} == {split}
    noise = source.draw(np.random.default_rng(1), 5000)
    assert noise.wave.shape == (5000,) and np.mean(noise.wave**2) == pytest.approx(4, rel=0.5)


def test_mistakes_are_named(clean, noise_file, tmp_path):
    train = [clean / "train.tsv"]
    for options, message in (
        ({"noise": ["synthetic:red"]}, f"choose one of {', '.join(KINDS)} after synthetic:"),
        ({"noise": ["synthetic:babble"]}, "needs --babble DIR"),
        ({"noise": ["synthetic:pink"], "babble_dir": clean}, "--babble has no effect"),
        ({"noise": ["synthetic:pink"], "snr": (5.0, 0.0)}, "--snr 5 0: give the lower ratio"),
        ({"noise": ["synthetic:pink"], "vectors": None}, "no third column of speaker vectors; give --speaker-vectors"),
    ):
        with pytest.raises(ValueError, match=message):
            mix_manifests(train, tmp_path / "out", **{"vectors": VECTORS, **options})
    with pytest.raises(FileNotFoundError, match="no such file or folder; give one, music, or synthetic:KIND"):
        find_source("absent", "train", tmp_path, None)
    soundfile.write(clean / "wav/train/0.wav", np.zeros(6000), 16000)
    write_manifest(clean / "train.tsv", "wav", [("train/0.wav", 6000, "../../v.npy")])
    np.save(tmp_path / "v.npy", np.ones(512, dtype=np.float32))
    with pytest.raises(ValueError, match="train.tsv:2: .*0.wav: the recording is silent; delete the row"):
        mix_manifests(train, tmp_path / "silent", noise=["synthetic:pink"])
    write_manifest(clean / "train.tsv", "wav", [("a.wav", 1, "v"), ("../a.wav", 1, "v")])
    with pytest.raises(ValueError, match="train.tsv:3: '../a.wav' and 'a.wav' would be one file"):
        mix_manifests(train, tmp_path / "twice", noise=["synthetic:pink"])
    assert sound_name("/x/a.flac") == "x/a.flac.wav"


def test_the_command_line(clean, tmp_path, capsys):
    main([
        *("--manifest", str(clean / "test.tsv"), "--noise", "synthetic:white", "--snr", "-5", "0", "--jobs", "1"),
        *("--speaker-vectors", "--speaker-level", "1", "--out", str(tmp_path / "out")),
    ])  # fmt: skip
    assert "test" in capsys.readouterr().out
    manifest = Manifest.open(tmp_path / "out/test.tsv", JOB_COLUMNS["s2s"])
    assert len({manifest.path(row, "speaker") for row in range(4)}) == 1  # one folder, one speaker
    with pytest.raises(ValueError, match="have no effect without --speaker-vectors"):
        main(["--manifest", "x", "--noise", "music", "--speaker-level", "1", "--out", "y"])
