"""Classes of rows, their dictionary, and the data set of identification."""

import numpy as np
import pytest
from helpers import CLASSES, tiny_manifest, write_lines

from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.classes import ClassLabels
from speecht5_fairseq.data.dictionary import load_class_dictionary
from speecht5_fairseq.data.errors import DataError, DictionaryError, ManifestError
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
from speecht5_fairseq.data.s2c import S2CDataset

SAMPLES = [9000, 5000, 12_000, 7000, 400, 8000]


def manifest_of(folder, split="train"):
    return Manifest.open(folder / f"{split}.tsv", JOB_COLUMNS["s2c"])


def labels_of(folder, split="train"):
    return ClassLabels(manifest_of(folder, split), load_class_dictionary(folder / "dict.txt"), folder / "dict.txt")


def dataset_of(folder, *, split="train", labels=True, crop_samples=6000, **limits):
    labels = labels_of(folder, split) if labels else None
    limits = {"seed": 1, "training": split == "train", **limits}
    return S2CDataset(manifest_of(folder, split), labels, crop_samples=crop_samples, **limits)


def test_batch_holds_what_its_table_says(tmp_path):
    tiny_manifest(tmp_path, 6, job="s2c", split="valid", samples=SAMPLES)
    data = dataset_of(tmp_path, split="valid")
    batch = data.collater([data[row] for row in (5, 2, 1)])
    assert batch["id"].tolist() == [5, 2, 1] and batch["nsentences"] == batch["ntokens"] == 3
    assert batch["classes"].tolist() == [0, 2, 1] and batch["target"] is None
    assert batch["net_input"]["sample_lengths"].tolist() == [8000, 12_000, 5000]
    assert batch["net_input"]["waveform"].shape == (3, 12_000)
    assert data.collater([]) == {}


def test_training_hears_crops_and_evaluation_all(tmp_path):
    tiny_manifest(tmp_path, 6, job="s2c", samples=SAMPLES)
    data = dataset_of(tmp_path)
    whole = read_audio(data.manifest.path(2))
    starts = []
    for epoch in range(1, 6):
        data.set_epoch(epoch)
        crop = data[2].waveform.numpy()
        assert len(crop) == 6000 and np.array_equal(crop, data[2].waveform.numpy())
        starts += [at for at in range(6001) if np.array_equal(whole[at : at + 6000], crop)]
    assert len(starts) == 5 and len(set(starts)) > 1
    assert len(data[1].waveform) == 5000 and data.sizes.tolist() == [6000, 5000, 6000, 6000, 400, 6000]
    held_out = dataset_of(tmp_path, training=False)
    held_out.set_epoch(3)
    assert len(held_out[2].waveform) == 12_000


def test_without_labels(tmp_path):
    path = tiny_manifest(tmp_path, 2, job="s2t", split="test")
    data = dataset_of(tmp_path, split="test", labels=False)
    assert data.collater([data[0], data[1]])["classes"] is None
    with pytest.raises(ManifestError, match=f"{path}: no third column, the class of each row; .*--unlabelled"):
        labels_of(tmp_path, "test")


def test_a_class_that_the_dictionary_lacks_is_named_with_its_line(tmp_path):
    path = tiny_manifest(tmp_path, 4, job="s2c")
    path.write_text(path.read_text().replace("carl du bois", "zoe"))
    expected = f"{path}:4: the class 'zoe' is not in {tmp_path / 'dict.txt'}; correct the name"
    with pytest.raises(ManifestError) as told:
        dataset_of(tmp_path)[2]
    assert str(told.value).startswith(expected)
    report = verify(manifest_of(tmp_path), classes=labels_of(tmp_path), progress=False)
    assert report.total_problems == 1 and report.problems[0].startswith(expected)


def test_a_verification_holds_for_its_classes_only(tmp_path):
    tiny_manifest(tmp_path, 4, job="s2c")
    assert not verify(manifest_of(tmp_path), classes=labels_of(tmp_path), progress=False).from_stamp
    assert verify(manifest_of(tmp_path), classes=labels_of(tmp_path), progress=False).from_stamp
    write_lines(tmp_path / "dict.txt", ["anna 1", "ben 1", "carl du bois 1"])
    assert "dora" in verify(manifest_of(tmp_path), classes=labels_of(tmp_path), progress=False).problems[0]


def test_classes_are_the_lines_and_no_specials(tmp_path):
    write_lines(tmp_path / "dict.txt", [f"{name} 3" for name in CLASSES])
    assert load_class_dictionary(tmp_path / "dict.txt") == list(CLASSES)


@pytest.mark.parametrize(
    "lines, said",
    [(["anna 3"], r"dict.txt:1: one class \('anna'\)"), (["anna 3", "ben"], "dict.txt:2: not a symbol"),
     (["anna 3", "anna 2"], "dict.txt:2: symbol given before"), (["<unk> 3", "ben 1"], "dict.txt:1: .*reserved")],
)  # fmt: skip
def test_dictionaries_that_tell_nothing_apart(tmp_path, lines, said):
    write_lines(tmp_path / "dict.txt", lines)
    with pytest.raises(DictionaryError, match=said):
        load_class_dictionary(tmp_path / "dict.txt")


def test_a_missing_dictionary_says_what_to_write(tmp_path):
    with pytest.raises(DictionaryError, match="no such dictionary; write one line `NAME COUNT` for each class"):
        load_class_dictionary(tmp_path / "dict.txt")


def test_a_crop_holds_an_encoder_window(tmp_path):
    tiny_manifest(tmp_path, 2, job="s2c")
    with pytest.raises(DataError, match="--crop-samples is 399; give at least one encoder window"):
        dataset_of(tmp_path, crop_samples=399)
