"""units.json: what training reads of it, and labels that are not those which it tells of."""

import json

import pytest
from helpers import tiny_manifest, write_lines, write_speech

from manifest_tools.unit_clusters import Fitting
from manifest_tools.units import prepare_units
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.errors import DataError, ManifestError
from speecht5_fairseq.data.labels import UnitLabels
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest
from speecht5_fairseq.data.unit_record import check_record, file_hash, read_record, rows_hash


@pytest.fixture
def data(tmp_path):
    for split, count, seed in (("train", 5, 0), ("valid", 3, 1)):
        write_manifest(tmp_path / f"{split}.tsv", split, write_speech(tmp_path / split, count, seed=seed))
    prepare_units(tmp_path, fitting=Fitting(clusters=8))
    return tmp_path


def change(data, **told):
    found = json.loads((data / "units.json").read_text())
    (data / "units.json").write_text(json.dumps({**found, **told}))


def verified(data, split="train", level="full"):
    manifest = Manifest.open(data / f"{split}.tsv", JOB_COLUMNS["pretrain"])
    report = verify(manifest, units=UnitLabels.open(data, split), level=level, progress=False)
    report.raise_problems()
    return report


def test_what_the_tool_writes_is_what_is_read(data):
    record = read_record(data)
    assert (record.clusters, record.rate, record.features) == (8, 50, "mfcc")
    assert record.model == file_hash(data / "kmeans.joblib")
    assert record.source == {"model": record.model, "features": "mfcc"}
    for split in ("train", "valid"):
        told = record.splits[split]
        manifest = Manifest.open(data / f"{split}.tsv", JOB_COLUMNS["pretrain"])
        assert told == (record.model, rows_hash([manifest]), file_hash(data / f"{split}.km"))
        assert UnitLabels.open(data, split).record == record
    check_record(record, units=8, rate=50, dictionary="dict.km.txt")


def test_labels_made_elsewhere_have_no_record(tmp_path):
    tiny_manifest(tmp_path, 3, job="pretrain")
    assert read_record(tmp_path) is read_record(tmp_path / "absent") is None
    assert UnitLabels.open(tmp_path, "train").record is None
    assert verified(tmp_path).checked == 3


def test_a_record_of_before_tells_less(data):
    record = json.loads((data / "units.json").read_text())
    splits = {name: {key: told[key] for key in ("rows", "cluster_sizes")} for name, told in record["splits"].items()}
    (data / "units.json").write_text(
        json.dumps({"settings": record["settings"], "model": record["model"], "splits": splits})
    )
    found = read_record(data)
    assert found.clusters == 8 and found.splits["train"].model == found.model and found.splits["train"].labels == ""
    verified(data)


NO_SETTINGS = '{"settings": {}, "model": "x", "splits": {}}'
NUMBERS = '{"settings": 1, "model": 1, "splits": 1}'


@pytest.mark.parametrize("text", ["{", "[]", "{}", NO_SETTINGS, NUMBERS, "\xff"])
def test_a_file_that_is_no_record(data, text):
    (data / "units.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"units.json: no record of units .*; make the units again .*, or delete it"):
        UnitLabels.open(data, "train")


def test_another_number_of_units_and_another_rate(data):
    record = read_record(data)
    with pytest.raises(DataError, match="^d/dict.km.txt: 9 units, and .*units.json tells of 8; take the dict"):
        check_record(record, units=9, rate=50, dictionary="d/dict.km.txt")
    with pytest.raises(DataError, match="^--unit-rate is 25, and .*units.json tells of 50 units a second; give"):
        check_record(record, units=8, rate=25, dictionary="dict.km.txt")
    check_record(record._replace(clusters=None), units=9, rate=50, dictionary="dict.km.txt")


def test_a_split_of_another_model_is_refused(data):
    splits = json.loads((data / "units.json").read_text())["splits"]
    change(data, splits={**splits, "valid": {**splits["valid"], "model": "0123456789abcdef"}})
    UnitLabels.open(data, "train")
    with pytest.raises(DataError, match="valid.km is of the k-means model 0123456789abcdef, the other labels are of"):
        UnitLabels.open(data, "valid")


@pytest.mark.parametrize("level", ["full", "quick"])
def test_labels_that_were_changed_are_refused(data, level):
    lines = (data / "train.km").read_text().splitlines()
    write_lines(data / "train.km", [lines[1], lines[0], *lines[2:]])
    (data / "train.tsv.verified").unlink(missing_ok=True)
    with pytest.raises(ManifestError, match="train.km: not the labels that .*units.json tells of; make the"):
        verified(data, level=level)
    verified(data, level="off")
    verified(data, "valid")


def test_labels_of_other_rows_are_refused(data):
    root, *rows = (data / "valid.tsv").read_text().splitlines()
    write_lines(data / "valid.tsv", [root, rows[1], rows[0], *rows[2:]])
    with pytest.raises(ManifestError, match="valid.km: made for other rows than those of .*valid.tsv .see .*"):
        verified(data, "valid")


def test_a_stamp_holds_until_the_record_tells_otherwise_of_its_split(data):
    assert not verified(data).from_stamp and verified(data).from_stamp
    splits = json.loads((data / "units.json").read_text())["splits"]
    change(data, splits={**splits, "test": splits["valid"]}, versions={"torch": "9"})
    assert verified(data).from_stamp
    change(data, splits={**splits, "train": {**splits["train"], "labels": "0" * 16}})
    with pytest.raises(ManifestError, match="train.km: not the labels"):
        verified(data)


NOTHING_OF = "units.json says nothing of {}.km, which may be of an earlier model; make the .*, or delete units.json if"


def test_labels_that_a_new_model_left_behind_are_refused(data):
    old = (data / "train.km").read_bytes()
    prepare_units(data, (), fitting=Fitting(clusters=8, seed=5))
    assert (data / "train.km").read_bytes() == old
    for split in ("train", "valid"):
        with pytest.raises(DataError, match=NOTHING_OF.format(split)):
            UnitLabels.open(data, split)
    prepare_units(data, ("train",), fitting=Fitting(clusters=8, seed=5))
    verified(data)
    with pytest.raises(DataError, match=NOTHING_OF.format("valid")):
        UnitLabels.open(data, "valid")
    (data / "units.json").unlink()
    verified(data, "valid")
