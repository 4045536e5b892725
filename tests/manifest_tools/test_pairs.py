"""Pairs of two voices, by the rows' names or texts."""

import numpy as np
import pytest
from helpers import write_lines, write_speech

from manifest_tools.pairs import main, pair_manifests
from manifest_tools.voices import VectorOptions
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest


def voice(folder, names, *, split="train", texts=None, vector=False, seed=0):
    """A manifest of tones under these names, in this order."""
    rows = write_speech(folder / "tones", len(names), seed=seed)
    fields = []
    for name, (tone, samples) in zip(names, rows, strict=True):
        (folder / "wav" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tones" / tone).rename(folder / "wav" / name)
        fields.append((name, samples, "../vector.npy") if vector else (name, samples))
    if vector:
        np.save(folder / "vector.npy", np.ones(512, dtype=np.float32))
    if texts:
        write_lines(folder / f"{split}.txt", texts)
    write_manifest(folder / f"{split}.tsv", "wav", fields)
    return folder


def rows_of(path):
    manifest = Manifest.open(path, JOB_COLUMNS["s2s"])
    assert verify(manifest, progress=False).total_problems == 0
    return [
        (manifest.path(i).relative_to(manifest.root).name, manifest.path(i, "target_path").name)
        for i in range(len(manifest))
    ]


def test_pairs_by_name_in_any_order(tmp_path):
    source = voice(tmp_path / "a", ["x/2.wav", "x/1.wav", "x/9.wav"])
    target = voice(tmp_path / "b", ["x/1.flac", "x/2.flac"], texts=["one", "two"], vector=True, seed=1)
    sizes = pair_manifests(source, target, tmp_path / "out", splits=["train"])
    assert rows_of(tmp_path / "out/train.tsv") == [("1.wav", "1.flac"), ("2.wav", "2.flac")] and sizes[0].rows == 2
    assert (tmp_path / "out/train.txt").read_text() == "one\ntwo\n"
    manifest = Manifest.open(tmp_path / "out/train.tsv", JOB_COLUMNS["s2s"])
    assert manifest.path(0, "speaker").resolve() == (tmp_path / "b/vector.npy").resolve()
    assert (tmp_path / "out/left_out/train.tsv").read_text().split("\t") == [
        str(tmp_path / "a/wav/x/9.wav"), "not in the target\n",
    ]  # fmt: skip


def test_pairs_move_with_their_data(tmp_path):
    source = voice(tmp_path / "all/a", ["1.wav"])
    target = voice(tmp_path / "all/b", ["1.wav"], vector=True, seed=1)
    pair_manifests(source, target, tmp_path / "all/out", splits=["train"])
    (tmp_path / "all").rename(tmp_path / "moved")
    assert rows_of(tmp_path / "moved/out/train.tsv") == [("1.wav", "1.wav")]


def test_recordings_that_are_links_keep_their_names(tmp_path):
    source = voice(tmp_path / "all/a", ["1.wav"])
    target = voice(tmp_path / "all/b", ["1.wav"], vector=True, seed=1)
    (tmp_path / "all/a/wav/1.wav").rename(tmp_path / "far.wav")
    (tmp_path / "all/a/wav/1.wav").symlink_to(tmp_path / "far.wav")
    (tmp_path / "link").symlink_to(tmp_path / "all/b/wav")
    (row,) = (line.split("\t") for line in (target / "train.tsv").read_text().splitlines()[1:])
    write_manifest(target / "train.tsv", tmp_path / "link", [(tmp_path / "link" / row[0], *row[1:])])
    pair_manifests(source, target, tmp_path / "all/out", splits=["train"], match="stem")
    assert rows_of(tmp_path / "all/out/train.tsv") == [("1.wav", "1.wav")]


def test_pairs_by_stem_and_by_text(tmp_path):
    source = voice(tmp_path / "a", ["bdl/1.wav", "bdl/2.wav", "bdl/3.wav"], texts=["b", "a", "b"])
    target = voice(tmp_path / "b", ["slt/1.wav", "slt/3.wav"], texts=["b", "b"], vector=True, seed=1)
    with pytest.raises(
        ValueError, match="no row of .*'bdl/1' and 'slt/1'.; choose another --match of name, stem, text"
    ):
        pair_manifests(source, target, tmp_path / "none", splits=["train"])
    pair_manifests(source, target, tmp_path / "stem", splits=["train"], match="stem")
    assert rows_of(tmp_path / "stem/train.tsv") == [("1.wav", "1.wav"), ("3.wav", "3.wav")]
    pair_manifests(source, target, tmp_path / "text", splits=["train"], match="text")  # the second b to the second
    assert rows_of(tmp_path / "text/train.tsv") == [("1.wav", "1.wav"), ("3.wav", "3.wav")]


def test_segments_are_paired_by_their_place(tmp_path):
    source, target = voice(tmp_path / "a", ["talk.wav"]), voice(tmp_path / "b", ["talk.flac"], vector=True, seed=1)
    write_manifest(source / "train.tsv", "wav", [("talk.wav:0:800", 800), ("talk.wav:800:1600", 1600)])
    write_manifest(target / "train.tsv", "wav", [("talk.flac:800:1600", 1600, "../vector.npy")])
    pair_manifests(source, target, tmp_path / "out", splits=["train"])
    assert rows_of(tmp_path / "out/train.tsv") == [("talk.wav:800:1600", "talk.flac:800:1600")]
    assert "talk.wav:0:800\tnot in the target" in (tmp_path / "out/left_out/train.tsv").read_text()


def test_vectors_of_the_target_are_made(tmp_path):
    source, target = voice(tmp_path / "a", ["1.wav", "2.wav"]), voice(tmp_path / "b", ["1.wav", "2.wav"], seed=1)
    with pytest.raises(ValueError, match="b/train.tsv has no third column of speaker vectors; give --speaker-vectors"):
        pair_manifests(source, target, tmp_path / "none", splits=["train"])
    pair_manifests(source, target, tmp_path / "out", splits=["train"], vectors=VectorOptions())
    manifest = Manifest.open(tmp_path / "out/train.tsv", JOB_COLUMNS["s2s"])
    assert manifest.path(0, "speaker") != manifest.path(1, "speaker")
    assert rows_of(tmp_path / "out/train.tsv") == [("1.wav", "1.wav"), ("2.wav", "2.wav")]
    table = write_lines(tmp_path / "table", ["1.wav\tann"])
    options = VectorOptions(speaker_table=table)
    with pytest.raises(ValueError, match="table: no speaker for '2.wav'; add the line"):
        pair_manifests(source, target, tmp_path / "table-out", splits=["train"], vectors=options)


def test_mistakes_are_named(tmp_path):
    source, target = voice(tmp_path / "a", ["1.wav"]), voice(tmp_path / "b", ["1.wav", "1.flac"], vector=True)
    with pytest.raises(ValueError, match="b/train.tsv:3: its name '1' is also that of line 2; delete one"):
        pair_manifests(source, target, tmp_path / "out", splits=["train"])
    with pytest.raises(ValueError, match="--match text: no .*a/train.txt"):
        pair_manifests(source, target, tmp_path / "out", splits=["train"], match="text")
    voice(source, ["3.wav"], split="valid")
    with pytest.raises(FileNotFoundError, match="b/valid.tsv: missing, while .*a/valid.tsv is there"):
        pair_manifests(source, target, tmp_path / "out", splits=["valid"])
    with pytest.raises(FileNotFoundError, match="no manifest of these"):
        pair_manifests(source, target, tmp_path / "out", splits=["test"])


def test_the_command_line(tmp_path, capsys):
    voice(tmp_path / "a", ["1.wav"])
    voice(tmp_path / "b", ["1.wav"], vector=True, seed=1)
    folders = ("--source", str(tmp_path / "a"), "--target", str(tmp_path / "b"), "--out", str(tmp_path / "out"))
    main([*folders, "--splits", "train", "--jobs", "1"])
    assert "train" in capsys.readouterr().out
