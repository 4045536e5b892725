"""Manifests packed into archives: the same rows, samples and labels; what is done is not done again."""

import os
import subprocess
import tarfile

import numpy as np
import pytest
import soundfile
from helpers import tiny_manifest, write_lines, write_speech

from manifest_tools import shards
from manifest_tools.pack import main, pack_manifest, plan_shards
from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.labels import UnitLabels
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, ManifestError, write_manifest
from speecht5_fairseq.data.speaker import read_speaker

MB_OF_A_ROW = 300_000  # samples of a row here: 0.6 MB


@pytest.fixture
def data(tmp_path):
    """A manifest of pre-training whose rows are 0.6 MB each."""
    return tiny_manifest(tmp_path / "data", 5, job="pretrain", samples=[MB_OF_A_ROW] * 5)


def open_rows(path, job="pretrain"):
    return Manifest.open(path, JOB_COLUMNS[job])


def same_rows(packed, plain):
    assert len(packed) == len(plain) and (packed.samples == plain.samples).all()
    for row in range(len(plain)):
        np.testing.assert_array_equal(read_audio(packed.path(row)), read_audio(plain.path(row)))
        np.testing.assert_array_equal(
            read_speaker(packed.path(row, "speaker")), read_speaker(plain.path(row, "speaker"))
        )


@pytest.mark.parametrize("archive", ["tar", "zip"])
@pytest.mark.parametrize("flac", [False, True])
def test_rows_are_the_same_out_of_archives(data, tmp_path, archive, flac):
    out = tmp_path / "packed"
    packed = pack_manifest(data, out, archive=archive, flac=flac, shard_mb=1, n_jobs=1)
    assert (packed.size.rows, packed.size.samples, packed.shards, packed.made) == (5, 5 * MB_OF_A_ROW, 3, 3)
    assert sorted(file.name for file in out.iterdir()) == sorted(
        ["dict.km.txt", "train.km", "train.tsv", *(f"train-0000{number}.{archive}" for number in range(3))]
    )
    manifest = open_rows(out / "train.tsv")
    suffix = "flac" if flac else "wav"
    assert manifest.lines[0] == "." and manifest.row(2)["path"] == f"train-00001.{archive}:2.{suffix}"
    assert manifest.row(2)["speaker"] == f"train-00001.{archive}:2.wav.npy"
    same_rows(manifest, open_rows(data))
    verify(manifest, units=UnitLabels.open(out, "train"), progress=False).raise_problems()
    out.rename(tmp_path / "moved")  # paths are relative
    same_rows(open_rows(tmp_path / "moved/train.tsv"), open_rows(data))


def test_what_is_there_is_not_made_again(data, tmp_path):
    out = tmp_path / "packed"
    pack_manifest(data, out, shard_mb=1, n_jobs=2)
    before = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    assert pack_manifest(data, out, shard_mb=1, n_jobs=1).made == 0
    assert {file.name: file.stat().st_mtime_ns for file in out.iterdir()} == before
    (out / "train-00002.tar").unlink()
    write_speech(tmp_path / "data/audio_train", 1, samples=[MB_OF_A_ROW], seed=9)  # row 0 changes
    assert pack_manifest(data, out, shard_mb=1, n_jobs=1).made == 2
    assert (out / "train-00001.tar").stat().st_mtime_ns == before["train-00001.tar"]
    same_rows(open_rows(out / "train.tsv"), open_rows(data))
    (out / "train-00001.tar").write_bytes(b"half")
    assert pack_manifest(data, out, shard_mb=1, n_jobs=1).made == 1


@pytest.mark.parametrize("archive", ["tar", "zip"])
def test_the_same_files_make_the_same_archive(data, tmp_path, archive):
    for out in ("one", "two"):
        pack_manifest(data, tmp_path / out, archive=archive, n_jobs=1)
    file = f"train-00000.{archive}"
    assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_nothing_half_written_has_a_final_name(data, tmp_path, monkeypatch):
    out, plain = tmp_path / "packed", shards._content

    def breaks(item):
        if item.member == "3.wav":
            raise OSError("the disk is full")
        return plain(item)

    monkeypatch.setattr(shards, "_content", breaks)
    with pytest.raises(OSError, match="disk is full"):
        pack_manifest(data, out, shard_mb=1, n_jobs=1)
    assert [file.name for file in out.iterdir()] == ["train-00000.tar"]


def test_other_programs_read_the_archives(data, tmp_path):
    pack_manifest(data, tmp_path / "packed", n_jobs=1)
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "packed/train-00000.tar", "-C", tmp_path / "out"], check=True)
    for file in (tmp_path / "data/audio_train").iterdir():
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()


def test_a_file_that_several_rows_name_is_packed_once(tmp_path):
    manifest = tiny_manifest(tmp_path / "data", 3, job="s2s")
    pack_manifest(manifest, tmp_path / "packed", job="s2s", n_jobs=1)
    with tarfile.open(tmp_path / "packed/train-00000.tar") as tar:
        names = tar.getnames()
    assert len(names) == len(set(names)) == 6  # three recordings and their vectors
    packed, plain = open_rows(tmp_path / "packed/train.tsv", "s2s"), open_rows(manifest, "s2s")
    for row in range(3):
        for column in ("path", "target_path"):
            np.testing.assert_array_equal(read_audio(packed.path(row, column)), read_audio(plain.path(row, column)))
        assert packed.length(row, "target_path") == plain.length(row, "target_path")


@pytest.mark.parametrize("flac", [False, True])
def test_of_segments_the_recording_is_packed_once(tmp_path, flac):
    write_speech(tmp_path, 2, samples=[8000, 9000], rate=48000)  # at 16 kHz a third of it
    rows = [("0.wav:0:1000", 1000), ("1.wav:160:2000", 2000), ("0.wav:1000:1600", 1600), ("1.wav", 3000)]
    write_manifest(tmp_path / "train.tsv", ".", rows)
    pack_manifest(tmp_path / "train.tsv", tmp_path / "packed", job="s2t", flac=flac, n_jobs=1)
    packed, plain = (open_rows(folder / "train.tsv", "s2t") for folder in (tmp_path / "packed", tmp_path))
    suffix = "flac" if flac else "wav"
    assert [packed.row(row)["path"] for row in range(4)] == [
        f"train-00000.tar:{name}.{suffix}{segment}"
        for name, segment in (("0", ":0:1000"), ("1", ":160:2000"), ("0", ":1000:1600"), ("1", ""))
    ]
    with tarfile.open(tmp_path / "packed/train-00000.tar") as tar:
        assert tar.getnames() == [f"0.{suffix}", f"1.{suffix}"]
    verify(packed, progress=False).raise_problems()
    for row in range(4):
        np.testing.assert_array_equal(read_audio(packed.path(row)), read_audio(plain.path(row)))


def test_columns_that_nobody_reads_and_texts_go_along(tmp_path):
    manifest = tiny_manifest(tmp_path / "data", 2, job="s2t")
    rows = [(*open_rows(manifest, "s2t").row(row).values(), "said", row) for row in range(2)]
    write_manifest(manifest, open_rows(manifest, "s2t").root, rows)
    main(["--manifests", str(manifest), "--out", str(tmp_path / "packed"), "--job", "s2t", "--jobs", "1"])
    lines = (tmp_path / "packed/train.tsv").read_text().splitlines()
    assert [line.split("\t")[2:] for line in lines[1:]] == [["said", "0"], ["said", "1"]]
    for name in ("train.txt", "dict.txt"):
        assert (tmp_path / "packed" / name).read_bytes() == (tmp_path / "data" / name).read_bytes()


def test_members_of_one_name_get_a_number_and_archives_are_packed_anew(tmp_path):
    for folder in ("a", "b"):
        write_speech(tmp_path / folder, 1, seed=ord(folder))
    soundfile.write(tmp_path / "a/0.flac", read_audio(tmp_path / "a/0.wav"), 16000)
    samples = [len(read_audio(tmp_path / name)) for name in ("a/0.wav", "a/0.flac", "b/0.wav")]
    paths = ["../a/0.wav", "../a/0.flac", "../b/0.wav"]
    write_manifest(tmp_path / "list/train.tsv", ".", zip(paths, samples, strict=True))
    with pytest.raises(ManifestError, match=r"train.tsv:2: the path leads out .*'\.\./a/0.wav'.*--allow-outside-root"):
        pack_manifest(tmp_path / "list/train.tsv", tmp_path / "one", flac=True, job="s2t", n_jobs=1)
    options = {"flac": True, "job": "s2t", "allow_outside_root": True, "n_jobs": 1}
    pack_manifest(tmp_path / "list/train.tsv", tmp_path / "one", **options)
    one = open_rows(tmp_path / "one/train.tsv", "s2t")
    names = ["a/0.flac", "a/0-2.flac", "b/0.flac"]
    assert [one.row(row)["path"] for row in range(3)] == [f"train-00000.tar:{name}" for name in names]
    pack_manifest(tmp_path / "one/train.tsv", tmp_path / "two", archive="zip", job="s2t", n_jobs=1)
    two = open_rows(tmp_path / "two/train.tsv", "s2t")
    assert [two.row(row)["path"] for row in range(3)] == [f"train-00000.zip:{name}" for name in names]
    for row, path in enumerate(paths):
        np.testing.assert_array_equal(read_audio(two.path(row)), read_audio(tmp_path / "list" / path))


@pytest.mark.parametrize(("subtype", "kept"), [("PCM_16", True), ("PCM_24", True), ("FLOAT", False)])
def test_flac_holds_the_samples_exactly_or_refuses(tmp_path, subtype, kept):
    wave = np.random.default_rng(0).uniform(-1, 1, (8000, 2))
    soundfile.write(tmp_path / "a.wav", wave, 8000, subtype=subtype)
    write_manifest(tmp_path / "data/train.tsv", tmp_path, [("a.wav", 16000)])
    options = {"flac": True, "job": "s2t", "n_jobs": 1}
    if not kept:
        with pytest.raises(ValueError, match=r"train.tsv:2: .*a.wav: cannot be packed .its samples are FLOAT.*--flac"):
            pack_manifest(tmp_path / "data/train.tsv", tmp_path / "packed", **options)
        return
    pack_manifest(tmp_path / "data/train.tsv", tmp_path / "packed", **options)
    packed = open_rows(tmp_path / "packed/train.tsv", "s2t").path(0)
    np.testing.assert_array_equal(read_audio(packed), read_audio(tmp_path / "a.wav"))
    with tarfile.open(tmp_path / "packed/train-00000.tar") as tar:
        info = soundfile.info(tar.extractfile("a.flac"))
    assert (info.samplerate, info.channels, info.subtype) == (8000, 2, subtype)


def test_a_plan_does_not_depend_on_the_files(data, tmp_path):
    before = plan_shards(open_rows(data), tmp_path, shard_mb=1)
    (tmp_path / "data/audio_train/2.wav").unlink()
    assert plan_shards(open_rows(data), tmp_path, shard_mb=1) == before
    assert [len(shard.items) for shard in before.shards] == [4, 4, 2]


@pytest.mark.parametrize(
    ("options", "harm", "message"),
    [
        ({}, lambda folder: os.unlink(folder / "audio_train/2.wav"), r"train.tsv:4: .*2.wav: no such file; correct"),
        ({"shard_mb": 0}, None, "--shard-mb 0: give the MB"),
        ({}, lambda folder: write_lines(folder / "train.km", ["1"]), r"train.km has 1 lines, .*train.tsv 5 rows"),
    ],
)
def test_mistakes_are_named(data, tmp_path, options, harm, message):
    if harm:
        harm(tmp_path / "data")
    with pytest.raises(ValueError, match=message):
        pack_manifest(data, tmp_path / "packed", n_jobs=1, **options)


def test_the_manifest_is_not_packed_over_itself(data):
    with pytest.raises(ValueError, match="is the folder of .*train.tsv; choose another"):
        pack_manifest(data, data.parent)


def test_manifests_of_one_name_do_not_overwrite_each_other(data, tmp_path):
    other = tiny_manifest(tmp_path / "other", 2, job="pretrain")
    with pytest.raises(ValueError, match="--manifests: 2 are called train.tsv; give each an --out of its own, or comb"):
        main(["--manifests", str(data), str(other), "--out", str(tmp_path / "packed"), "--jobs", "1"])
    assert not (tmp_path / "packed").exists()
