"""The data sets with a speech target: synthesis (t2s), conversion and enhancement (s2s)."""

import tarfile

import numpy as np
import pytest
import torch
from helpers import tiny_dictionary, tiny_manifest

from speecht5_fairseq.constants import SPEAKER_DIM
from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.errors import ManifestError
from speecht5_fairseq.data.labels import TextLabels
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
from speecht5_fairseq.data.mel import log_mel
from speecht5_fairseq.data.s2s import S2SDataset
from speecht5_fairseq.data.source_text import SourceText
from speecht5_fairseq.data.t2s import T2SDataset

SAMPLES = [9000, 5000, 7000]


def t2s(folder, split="train", **options):
    tiny_manifest(folder, 3, job="t2s", split=split, samples=SAMPLES)
    manifest = Manifest.open(folder / f"{split}.tsv", JOB_COLUMNS["t2s"])
    text = SourceText(TextLabels.open(folder, split, tiny_dictionary()), ends="eos")
    return T2SDataset(manifest, text, seed=1, training=split == "train", **options)


def s2s(folder, split="train", **options):
    tiny_manifest(folder, 3, job="s2s", split=split, samples=SAMPLES)
    manifest = Manifest.open(folder / f"{split}.tsv", JOB_COLUMNS["s2s"])
    return S2SDataset(manifest, seed=1, training=split == "train", **options)


def batch_of(data, rows=(0, 1, 2)):
    return data.collater([data[row] for row in rows])


def test_synthesis_batch_holds_what_its_table_says(tmp_path):
    data = t2s(tmp_path)
    batch, dictionary = batch_of(data), tiny_dictionary()
    inputs = batch["net_input"]
    assert batch["id"].tolist() == [0, 1, 2] and batch["rows"].tolist() == [0, 1, 2] and batch["nsentences"] == 3
    assert inputs["frame_lengths"].tolist() == [1 + size // 256 for size in SAMPLES]
    assert batch["ntokens"] == int(inputs["frame_lengths"].sum()) and batch["target"] is None
    assert inputs["speaker"].shape == (3, SPEAKER_DIM) and inputs["seeds"].dtype == torch.int64
    for row in range(3):
        tokens = inputs["source_tokens"][row]
        symbols = data.text.labels.pieces(row)
        assert tokens[: len(symbols)].tolist() == [dictionary.index(symbol) for symbol in symbols]
        assert tokens[len(symbols)] == dictionary.eos() and (tokens[len(symbols) + 1 :] == dictionary.pad()).all()
        mel = log_mel(torch.from_numpy(read_audio(data.manifest.path(row))))
        torch.testing.assert_close(inputs["target_frames"][row, : len(mel)], mel)
        assert (inputs["target_frames"][row, len(mel) :] == 0).all()
    assert data.sizes.tolist() == SAMPLES


def test_conversion_batch_holds_what_its_table_says(tmp_path):
    data = s2s(tmp_path)
    batch = batch_of(data)
    inputs, targets = batch["net_input"], [*SAMPLES[1:], SAMPLES[0]]
    assert inputs["sample_lengths"].tolist() == SAMPLES
    assert inputs["frame_lengths"].tolist() == [1 + size // 256 for size in targets]
    for row in range(3):
        wave = torch.from_numpy(read_audio(data.manifest.path(row)))
        torch.testing.assert_close(inputs["waveform"][row, : len(wave)], wave)
        mel = log_mel(torch.from_numpy(read_audio(data.manifest.path(row, "target_path"))))
        torch.testing.assert_close(inputs["target_frames"][row, : len(mel)], mel)
        vector = np.load(data.manifest.path(row, "speaker"))
        torch.testing.assert_close(inputs["speaker"][row], torch.from_numpy(vector))
    assert data.sizes.tolist() == [max(pair) for pair in zip(SAMPLES, targets, strict=True)]


@pytest.mark.parametrize("build", [t2s, s2s])
def test_generation_reads_no_target(build, tmp_path):
    data = build(tmp_path, split="test", with_targets=False)
    for row in range(3):
        assert data.reference(row) == data.manifest.path(row, data.target_column)
    if build is t2s:  # the recordings need not be there
        for row in range(3):
            data.manifest.path(row).unlink()
        assert data.reference(0) is None
    batch = batch_of(data)
    assert "target_frames" not in batch["net_input"] and batch["ntokens"] == 0


def test_a_reference_may_lie_in_an_archive(tmp_path, monkeypatch):
    data = t2s(tmp_path, split="test", with_targets=False)
    archive = tmp_path / "references.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(data.manifest.path(0), "0.wav")
    monkeypatch.setattr(data.manifest, "file_of", lambda row, column: f"{tmp_path}/references.tar:{row}.wav")
    assert [data.reference(row) for row in range(2)] == [tmp_path / "references.tar:0.wav", None]


@pytest.mark.parametrize("build", [t2s, s2s])
def test_what_cannot_be_read_is_an_error_or_a_failed_item(build, tmp_path):
    strict = build(tmp_path)
    np.save(strict.manifest.path(1, "speaker"), np.ones(7, dtype=np.float32))
    with pytest.raises(ManifestError, match=r"train.tsv:3: .*a speaker vector of shape \(7,\), not \(512,\)"):
        strict[1]
    strict.tolerant = True
    batch = batch_of(strict)
    assert batch["id"].tolist() == [0, 2] and batch["rows"].tolist() == [0, 1]
    ((number, reason),) = batch["failed"]
    assert number == 1 and "train.tsv:3" in reason
    alone = batch_of(strict, [1])
    assert set(alone) == {"failed"}  # no net_input: fairseq-generate goes on to the next batch


def test_rows_done_before_are_not_visited(tmp_path):
    data = t2s(tmp_path, split="test", without={0, 2}, tolerant=True)
    assert data.ordered_indices().tolist() == [1]
    nothing = t2s(tmp_path, split="test", without=range(3), tolerant=True)
    assert nothing.batch_by_size(nothing.ordered_indices(), max_tokens=10_000) == []


def test_a_target_of_another_length_than_its_row_says_is_named(tmp_path):
    data = s2s(tmp_path)
    data.manifest.counts["target_samples"][0] += 1
    with pytest.raises(ManifestError, match="train.tsv:2: the audio has 5000 samples, the row says 5001"):
        data[0]


def test_the_longest_row_is_by_source_or_target(tmp_path):
    """Targets of 5000, 7000 and 9000 samples: the first and the third row have 9000 on one side."""
    assert s2s(tmp_path, max_samples=8000).ordered_indices().tolist() == [1]


def test_the_shortest_row_is_by_source_or_target_and_stands_once_in_the_list(tmp_path):
    """Sources of 9000, 5000 and 7000, targets of 5000, 7000 and 9000 samples."""
    assert s2s(tmp_path, min_samples=6000, max_samples=9000).ordered_indices().tolist() == [2]
    listing = (tmp_path / "train.left_out.tsv").read_text().splitlines()[1:]
    assert listing == [
        "3\t1.wav\t5000\tshorter than 6000 samples",
        "2\t0.wav\t9000\ttarget shorter than 6000 samples",
    ]


@pytest.mark.parametrize(("frames", "kept"), [(0, [0, 1, 2]), (20, [0, 1, 2]), (21, [1, 2]), (28, [1, 2]), (36, [2])])
def test_a_target_has_one_step_of_the_decoder(tmp_path, frames, kept):
    """Targets of 5000, 7000 and 9000 samples have 20, 28 and 36 mel frames."""
    data = s2s(tmp_path, step_frames=frames)
    assert sorted(data.ordered_indices().tolist()) == kept
    assert all(len(data[row].target_frames) >= frames for row in kept)
    with pytest.raises(ManifestError, match=r"test.tsv:2: 5000 samples \(0.31 s\); target shorter than 5120 samples"):
        s2s(tmp_path, split="test", step_frames=21)


def test_generation_needs_no_length_of_its_targets(tmp_path):
    data = s2s(tmp_path, split="test", with_targets=False, step_frames=100)
    assert sorted(data.ordered_indices().tolist()) == [0, 1, 2]


def test_a_row_outside_the_root_fails_and_the_others_are_read(tmp_path):
    s2s(tmp_path)
    lines = (tmp_path / "train.tsv").read_text().splitlines()
    fields = lines[2].split("\t")
    lines[2] = "\t".join(["../outside.wav", *fields[1:2], "../outside.wav", *fields[3:]])
    (tmp_path / "train.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "outside.wav").write_bytes((tmp_path / "audio_train" / fields[0]).read_bytes())
    manifest = Manifest.open(tmp_path / "train.tsv", JOB_COLUMNS["s2s"])
    data = S2SDataset(manifest, seed=1, training=False, tolerant=True)
    (failed,) = batch_of(data)["failed"]
    assert failed.id == 1 and "train.tsv:3: the path leads out of the audio root" in failed.reason
    assert data.reference(1) is None and data.reference(0).is_file()
