"""What goes wrong ends the command with a message that names the file, the line or the option, and the mend."""

import shutil

import pytest
import torch
from commands import LEGACY, load, pretraining, recognition, run, two_processes
from helpers import UNITS, write_lines

from manifest_tools.unit_clusters import Fitting
from manifest_tools.units import prepare_units


@pytest.fixture
def copy(data, tmp_path):
    """The session's folders once more, to be spoilt."""
    for place in (data.pretrain, data.s2t):
        shutil.copytree(place, tmp_path / place.name)
    return data._replace(pretrain=tmp_path / "pretrain", s2t=tmp_path / "s2t")


def test_a_missing_unit_file(copy, tmp_path):
    (copy.pretrain / "valid.km").unlink()
    output = run("fairseq-train", *pretraining(copy, "--save-dir", tmp_path / "out"), fails=True)
    assert f"{copy.pretrain / 'valid.km'}: no unit labels; make it with `python -m manifest_tools.units`" in output


def test_units_of_another_rate(copy, tmp_path):
    """Units at 100 a second where 50 are expected: the row's line is named, and how to say the rate."""
    units = copy.pretrain / "train.km"
    doubled = [" ".join(unit for unit in line.split() for _ in range(2)) for line in units.read_text().splitlines()]
    write_lines(units, doubled)
    output = run("fairseq-train", *pretraining(copy, "--save-dir", tmp_path / "out"), fails=True)
    assert f"{units}, line 1" in output or f"{units}:1" in output
    assert "unit_rate" in output or "--unit-rate" in output


def test_a_dictionary_that_does_not_fit_the_checkpoint(copy, pretrained, tmp_path):
    dictionary = copy.s2t / "dict.txt"
    lines = dictionary.read_text(encoding="utf-8").splitlines()
    write_lines(dictionary, [lines[1], lines[0], *lines[2:]])
    start = ["--finetune-from-model", pretrained / "checkpoint_last.pt", "--save-dir", tmp_path / "out"]
    output = run("fairseq-train", *recognition(copy, *start), fails=True)
    last = output.splitlines()[-1]
    assert f"{dictionary}:1: the dictionary does not fit the checkpoint {start[1]}: " in last
    assert "first difference at index 4: 'A' here, '▁' there" in last
    assert "Use the dict.txt that the checkpoint was trained with" in last
    assert last.endswith(", or add --new-vocabulary to keep the rows of the symbols that both have")


def test_a_run_that_cannot_go_on_from_its_last_checkpoint(copy, pretrained, tmp_path):
    """Other units than the stopped run had; --finetune-from-model, which would fit no better, is not looked at."""
    shutil.copy(pretrained / "checkpoint_last.pt", tmp_path / "checkpoint_last.pt")
    (copy.pretrain / "dict.km.txt").open("a").write("20 1\n")
    options = ["--save-dir", tmp_path, "--finetune-from-model", "elsewhere.pt"]
    last = run("fairseq-train", *pretraining(copy, *options), fails=True).splitlines()[-1]
    expected = f"{copy.pretrain / 'dict.km.txt'}: 21 units here, 20 in the checkpoint {tmp_path / 'checkpoint_last.pt'}"
    assert expected in last


def test_a_run_that_goes_on_with_units_of_another_model(copy, pretrained, tmp_path):
    prepare_units(copy.pretrain, fitting=Fitting(clusters=UNITS))
    state = load(pretrained / "checkpoint_last.pt")
    state["task_state"]["unit_source"] = {"model": "0123456789abcdef", "features": "speecht5, layer 6, checkpoint 89ab"}
    torch.save(state, tmp_path / "checkpoint_last.pt")
    options = pretraining(copy, "--save-dir", tmp_path, "--max-update", 5)
    last = run("fairseq-train", *options, fails=True).splitlines()[-1]
    assert f"{copy.pretrain / 'units.json'}: the labels are units of k-means" in last
    assert "was trained on units of k-means 0123456789abcdef (speecht5, layer 6, checkpoint 89ab)" in last
    assert last.endswith("or, if it is meant, add --allow-other-units")
    assert "it goes on by --allow-other-units" in run("fairseq-train", *options, "--allow-other-units")
    assert load(tmp_path / "checkpoint_last.pt")["task_state"]["unit_source"]["features"] == "mfcc"


def test_units_that_were_there_before_a_new_model(copy, tmp_path):
    """Between --fit-only and the last shard the labels are still those of the model before."""
    for seed, splits in ((1, ("train", "valid")), (2, ())):
        prepare_units(copy.pretrain, splits, fitting=Fitting(clusters=UNITS, seed=seed))
    last = run("fairseq-train", *pretraining(copy, "--save-dir", tmp_path), fails=True).splitlines()[-1]
    assert f"{copy.pretrain / 'units.json'} says nothing of" in last
    assert ".km, which may be of an earlier model; make the units again with `python -m manifest_tools.units`" in last
    assert not list(tmp_path.glob("*.pt"))


def test_an_unknown_value_of_an_option(data, tmp_path):
    options = ["--extractor-norm", "batch", "--save-dir", tmp_path / "out"]
    output = run("fairseq-train", *recognition(data, *options), fails=True)
    assert "argument --extractor-norm: invalid choice: 'batch' (choose from" in output
    assert "group" in output and "layer" in output


def test_losses_that_are_not_finite(copy, tmp_path):
    """Text beyond its frames: the row is named and the run goes on, or ends with the state of before in a file."""
    text, manifest = copy.s2t / "train.txt", copy.s2t / "train.tsv"
    lines = text.read_text(encoding="utf-8").splitlines()
    write_lines(text, [*lines[:2], " ".join([lines[2]] * 20), *lines[3:]])
    options = [*recognition(copy, "--batch-size", 1, "--max-update", 8, "--keep-infinite-ctc"), "--save-dir"]
    output = run("fairseq-train", *options, tmp_path / "on")
    (line,) = (line for line in output.splitlines() if "a loss is not finite" in line)
    assert line.endswith(f"its batch is left out: ctc inf of {manifest}:4")
    assert '"bad_batches": "1"' in output
    last = load(tmp_path / "on" / "checkpoint_last.pt")
    assert all(torch.isfinite(tensor).all() for tensor in last["model"].values())
    assert last["optimizer_history"][-1]["num_updates"] == 8
    output = run("fairseq-train", *options, tmp_path / "end", "--max-bad-updates", 0, fails=True)
    assert f"BadUpdatesError: update {line.split('update ')[1].split(':')[0]}: 1 updates in a row" in output
    assert f"ctc inf of {manifest}:4. If it is always the same rows" in output.splitlines()[-1]
    options[-1:] = ["--restore-file", tmp_path / "end" / "crash.pt", "--reset-dataloader", "--save-dir"]
    assert "Loaded checkpoint" in run("fairseq-train", *options, tmp_path / "again", "--max-update", 9)


def test_a_bad_batch_of_one_process_leaves_two_with_the_same_weights(copy, tmp_path):
    """fairseq checks after each update that the gradients of all agree; the other's batch makes the update alone."""
    text = copy.s2t / "train.txt"
    lines = text.read_text(encoding="utf-8").splitlines()
    write_lines(text, [*lines[:2], " ".join([lines[2]] * 20), *lines[3:]])
    options = ["--batch-size", 1, "--keep-infinite-ctc", *LEGACY, "--save-dir", tmp_path / "out"]
    output = two_processes(*recognition(copy, *options))
    assert output.count("a loss is not finite") == 1 and '"bad_batches": "1"' in output
    assert load(tmp_path / "out" / "checkpoint_last.pt")["optimizer_history"][-1]["num_updates"] == 4
