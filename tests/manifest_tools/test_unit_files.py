"""Labels in shares: in any order, none done twice, joined by the last, never of two models."""

import errno
import fcntl
import json
import multiprocessing
import os

import pytest
from helpers import write_speech

from manifest_tools import units
from manifest_tools.combine import combine_manifests
from manifest_tools.pack import pack_manifest
from manifest_tools.subset import subset_manifest
from manifest_tools.unit_clusters import Fitting
from manifest_tools.unit_files import Share
from manifest_tools.units import main, prepare_units
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.data.labels import UnitLabels
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest
from speecht5_fairseq.data.unit_record import read_record

SPLITS = ("train", "valid")


@pytest.fixture
def data(tmp_path):
    for split, count, seed in (("train", 7, 0), ("valid", 2, 1)):
        write_manifest(tmp_path / f"{split}.tsv", split, write_speech(tmp_path / split, count, seed=seed))
    prepare_units(tmp_path, SPLITS, fitting=Fitting(clusters=8), out=tmp_path / "whole")
    return tmp_path


def labelled(data, share=None, **options):
    return prepare_units(data, SPLITS, fitting=Fitting(clusters=8), out=data / "shares", share=share, **options)


def fit_only(data, clusters=8):
    return prepare_units(data, (), fitting=Fitting(clusters=clusters), out=data / "shares")


def test_shares_follow_each_other():
    for total in (0, 1, 7, 100):
        for of in (1, 2, 3, 8):
            rows = [row for number in range(1, of + 1) for row in Share(number, of).rows(total)]
            assert rows == list(range(total))


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/", "a/3", "1/0", "-1/2", "1/2/3", "²/3"])
def test_a_share_that_is_none(text):
    with pytest.raises(ValueError, match=rf"--shard {text}: give I/N, I from 1 to N: 1/8"):
        Share.parsed(text)


def test_shares_in_any_order_make_what_one_command_makes(data):
    fit_only(data)
    parts = [labelled(data, Share(number, 3)) for number in (2, 3)]
    assert not (data / "shares/train.km").exists() and (data / "shares/train.2-of-3.km").exists()
    parts.append(labelled(data, Share(1, 3)))
    for name in ("train.km", "valid.km", "units.json", "dict.km.txt"):
        assert (data / "shares" / name).read_bytes() == (data / "whole" / name).read_bytes()
    whole = labelled(data)
    assert list(parts[0]) == ["train.2-of-3", "valid.2-of-3"] and tuple(parts[-1]) == SPLITS
    assert (whole["train"] == parts[-1]["train"]).all() and whole["train"].sum() > parts[0]["train.2-of-3"].sum() > 0
    assert not list((data / "shares").glob("*-of-*"))


def test_what_is_done_is_not_done_again(data, monkeypatch):
    fit_only(data)
    labelled(data, Share(1, 2))
    with monkeypatch.context() as patch:
        patch.setattr(units, "_label_rows", None)  # calling it would fail
        labelled(data, Share(1, 2))
    labelled(data, Share(2, 2))
    monkeypatch.setattr(units, "_label_rows", None)
    for share in (Share(1, 2), Share(2, 2), Share(5, 9), None):
        labelled(data, share)


def test_labels_that_were_changed_are_made_again(data, caplog):
    fit_only(data)
    labelled(data, Share(1, 2))
    for name in ("shares/train.1-of-2.km", "whole/valid.km"):
        (data / name).write_text("1 2 3\n")
    labelled(data, Share(1, 2))
    labelled(data, Share(2, 2))
    with caplog.at_level("INFO"):
        prepare_units(data, SPLITS, fitting=Fitting(clusters=8), out=data / "whole")
    assert f"{data / 'whole/valid.km'} is not as it was written: made again" in caplog.messages
    for split in SPLITS:
        assert (data / f"shares/{split}.km").read_bytes() == (data / f"whole/{split}.km").read_bytes()


def test_more_shares_than_rows(data):
    fit_only(data)
    for number in range(1, 10):
        labelled(data, Share(number, 9))
    assert (data / "shares/train.km").read_bytes() == (data / "whole/train.km").read_bytes()


def test_without_clusters_a_share_says_what_to_run_first(data):
    for fitted in (None, 9):
        if fitted:
            fit_only(data, clusters=fitted)
        with pytest.raises(ValueError, match="--shard labels with .*/shares holds none of these .*--fit-only"):
            labelled(data, Share(1, 2))
    with pytest.raises(ValueError, match="holds none of these settings"):
        prepare_units(data, out=data / "third", model=data / "whole/kmeans.joblib", share=Share(1, 2))
    prepare_units(data, (), out=data / "third", model=data / "whole/kmeans.joblib")
    prepare_units(data, out=data / "third", model=data / "whole/kmeans.joblib", share=Share(1, 1))
    assert (data / "third/train.km").read_bytes() == (data / "whole/train.km").read_bytes()


def test_shares_of_another_model_are_made_again(data):
    fit_only(data)
    labelled(data, Share(1, 2))
    fit_only(data, clusters=9)
    options = {"fitting": Fitting(clusters=9), "out": data / "shares"}
    prepare_units(data, SPLITS, share=Share(2, 2), **options)
    assert not (data / "shares/train.km").exists()  # the first share is of the old one
    prepare_units(data, SPLITS, share=Share(1, 2), **options)
    record = json.loads((data / "shares/units.json").read_text())
    assert {record["splits"][split]["model"] for split in SPLITS} == {record["model"]}
    assert len(record["splits"]["train"]["cluster_sizes"]) == 9


def run_share(data, number, of):
    labelled(data, Share(number, of))
    os._exit(0)


def test_shares_at_once(data):
    fit_only(data)
    context = multiprocessing.get_context("spawn")
    commands = [context.Process(target=run_share, args=(data, number, 2)) for number in (1, 2)]
    for command in commands:
        command.start()
    for command in commands:
        command.join(120)
    assert [command.exitcode for command in commands] == [0, 0]
    for name in ("train.km", "valid.km", "units.json"):
        assert (data / "shares" / name).read_bytes() == (data / "whole" / name).read_bytes()


def test_a_model_that_is_replaced_meanwhile_is_told(data, monkeypatch):
    label = units._label_rows

    def slow(*args):
        made = label(*args)
        fit_only(data, clusters=9)
        return made

    fit_only(data)
    monkeypatch.setattr(units, "_label_rows", slow)
    with pytest.raises(ValueError, match="units.json: another command has put another model there while train was"):
        labelled(data)


def test_a_file_system_without_locks_is_told_before_the_work(data, monkeypatch):
    def no_locks(file, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    fit_only(data)
    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(units, "_label_rows", None)  # calling it would fail
    said = "shares/.units.lock: this file system locks no files .No locks available.; put --out on another"
    for share in (Share(1, 2), None):
        with pytest.raises(OSError, match=said):
            labelled(data, share)


def test_the_command_line(data, capsys):
    line = ["--data", str(data), "--clusters", "8", "--out", str(data / "shares"), "--jobs", "1"]
    main([*line, "--fit-only"])
    assert (data / "shares/kmeans.joblib").exists() and not capsys.readouterr().out
    for number, names in ((1, ["train.1-of-2", "valid.1-of-2"]), (2, ["train", "valid"])):
        main([*line, "--shard", f"{number}/2"])
        header, *rows = [row.split() for row in capsys.readouterr().out.splitlines()]
        assert header[:2] == ["split", "units"] and [row[0] for row in rows if row[0][0] in "tv"] == names
    assert (data / "shares/units.json").read_bytes() == (data / "whole/units.json").read_bytes()
    with pytest.raises(ValueError, match="--shard 1/2 labels, and --fit-only labels nothing"):
        main([*line, "--fit-only", "--shard", "1/2"])


def test_a_record_that_is_none(data):
    (data / "whole/units.json").write_text("{")
    with pytest.raises(ValueError, match="units.json: no record of units .*; delete it, and the units are made again"):
        prepare_units(data, SPLITS, fitting=Fitting(clusters=8), out=data / "whole")


def verified(folder, split):
    """Whether there is a record; the labels are those that it tells of."""
    labels = UnitLabels.open(folder, split)
    verify(Manifest.open(folder / f"{split}.tsv", JOB_COLUMNS["s2t"]), units=labels, progress=False).raise_problems()
    return labels.record is not None


def test_a_subset_is_known_to_be_of_its_model(data):
    prepare_units(data, SPLITS, fitting=Fitting(clusters=8))
    for out in (data / "train-1.tsv", data / "part/train-1.tsv"):
        subset_manifest(data / "train.tsv", out, minutes=0.03)
        assert verified(out.parent, "train-1")
        assert read_record(out.parent).model == read_record(data).model
        record = json.loads((out.parent / "units.json").read_text())
        units_of = (out.parent / "train-1.km").read_text().split()
        assert sum(record["splits"]["train-1"]["cluster_sizes"]) == len(units_of)
    assert verified(data, "train") and set(read_record(data / "part").splits) == {"train-1"}


def test_packed_labels_are_known_to_be_of_their_model(data):
    prepare_units(data, SPLITS, fitting=Fitting(clusters=8))
    for split in SPLITS:
        pack_manifest(data / f"{split}.tsv", data / "packed", n_jobs=1)
    assert all(verified(data / "packed", split) for split in SPLITS)
    assert read_record(data / "packed").source == read_record(data).source


def test_joined_labels_are_known_to_be_of_their_model(data):
    folders = [data / "one", data / "two"]
    for number, folder in enumerate(folders):
        rows = write_speech(folder / "audio", 3, seed=number)
        write_manifest(folder / "train.tsv", "audio", rows)
        prepare_units(folder, ("train",), model=data / "whole/kmeans.joblib")
    combine_manifests(folders, data / "joined", splits=("train",))
    assert verified(data / "joined", "train")
    (folders[1] / "units.json").unlink()  # now nothing tells of these
    combine_manifests(folders, data / "joined", splits=("train",))
    assert not verified(data / "joined", "train")


def test_units_that_were_made_of_joined_manifests_stay_known_when_these_are_joined_again(data, monkeypatch):
    folders = [data / "one", data / "two"]
    for number, folder in enumerate(folders):
        write_manifest(folder / "train.tsv", "audio", write_speech(folder / "audio", 3, seed=number))
    units_here = {"splits": ("train",), "fitting": Fitting(clusters=8)}
    combine_manifests(folders, data / "joined", splits=("train",))
    prepare_units(data / "joined", **units_here)
    record = (data / "joined/units.json").read_bytes()
    combine_manifests(folders, data / "joined", splits=("train",))
    assert (data / "joined/units.json").read_bytes() == record and verified(data / "joined", "train")
    monkeypatch.setattr(units, "_label_rows", None)  # calling it would fail
    prepare_units(data / "joined", **units_here)


def test_labels_of_two_known_models_are_not_joined(data):
    """Subsets and archives come without kmeans.joblib: units.json tells."""
    parts = []
    for seed, split in enumerate(SPLITS):
        own = data / f"own{seed}"
        prepare_units(data, (split,), fitting=Fitting(clusters=8, seed=seed), out=own)
        (data / f"{split}.km").write_bytes((own / f"{split}.km").read_bytes())
        for name in ("units.json", "dict.km.txt"):
            (data / name).write_bytes((own / name).read_bytes())
        parts.append(data / f"part{seed}")
        subset_manifest(data / f"{split}.tsv", parts[-1] / "train.tsv", minutes=0.01)
    said = r"part0/train.km .k-means \w{16}., .*part1/train.km .k-means \w{16}. differ, so unit 5 of one is not unit 5"
    with pytest.raises(ValueError, match=said):
        combine_manifests(parts, data / "joined", splits=("train",))
    subset_manifest(parts[0] / "train.tsv", data / "again/train.tsv", minutes=0.005)
    (data / "again/kmeans.joblib").write_bytes((data / "own0/kmeans.joblib").read_bytes())
    combine_manifests([parts[0], data / "again"], data / "joined", splits=("train",))  # one has no kmeans.joblib
    assert verified(data / "joined", "train")


def test_a_split_of_unknown_labels_beside_known_ones_is_told(data, caplog):
    prepare_units(data, SPLITS, fitting=Fitting(clusters=8))
    for split in SPLITS:
        subset_manifest(data / f"{split}.tsv", data / f"part/{split}.tsv", minutes=0.01)
    (data / "units.json").unlink()
    subset_manifest(data / "valid.tsv", data / "part/valid.tsv", minutes=0.01)
    file = data / "part/units.json"
    said = f"{file} knows the model of train.km and not that of {data / 'part/valid.km'}: training will not take it"
    assert said in caplog.messages and set(read_record(data / "part").splits) == {"train"}
    with pytest.raises(DataError, match="units.json says nothing of valid.km"):
        verified(data / "part", "valid")
    subset_manifest(data / "train.tsv", data / "part/train.tsv", minutes=0.01)
    assert not file.exists() and not verified(data / "part", "train")


def test_without_a_record_none_is_made(data):
    prepare_units(data, SPLITS, fitting=Fitting(clusters=8))
    (data / "units.json").unlink()
    subset_manifest(data / "train.tsv", data / "part/train.tsv", minutes=0.03)
    assert (data / "part/train.km").exists() and not (data / "part/units.json").exists()
