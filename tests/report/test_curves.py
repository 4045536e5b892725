"""Logs in fairseq's formats, whole and broken, and checkpoints where there is no log."""

from types import SimpleNamespace

import pytest
import torch
from helpers import write_lines
from report_folders import write_run

from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.report.curves import Curves, parse_line, read_checkpoints, read_logs
from speecht5_fairseq.report.sources import open_source
from speecht5_fairseq.report.training import training_charts


@pytest.mark.parametrize("kind", ["simple", "json"])
def test_both_formats_have_the_same_numbers(tmp_path, kind):
    write_run(tmp_path / "run", kind=kind)
    curves = read_logs([tmp_path / "run.log"])
    assert curves.training["loss"] == {50: 4.5, 100: 4.0, 150: 3.5, 200: 3.0}
    assert curves.training["lr"] == dict.fromkeys(range(50, 250, 50), 0.001)
    assert curves.validation == {"valid": {"loss": {200: 4.5}, "uer": {200: 31.5}}}


def test_lines_of_a_log_file_have_no_prefix_and_other_lines_no_numbers():
    found = parse_line("epoch 002 | loss 3.25 | accuracy 50 | num_updates 97 | lr 0.001\n")
    assert found.group == "train" and found.values["loss"] == "3.25"
    assert parse_line('{"epoch": 1, "train_loss": "2.5", "train_num_updates": "9"}').values["loss"] == "2.5"
    options = "2026 | INFO | fairseq | {'_name': None, 'num_updates': 3}"
    for line in (options, '{"epoch": 1, "loss": "2', "", "epoch 1", "epoch 1 | num_updates nan"):
        assert parse_line(line) is None


def test_the_last_line_of_an_update_counts_and_broken_numbers_are_counted(tmp_path):
    first = "epoch 001:     1 / 9 loss=nan, gnorm=inf, num_updates=1"
    lines = [first, "epoch 001:     2 / 9 loss=5, num_updates=2", "epoch 001:     2 / 9 loss=4, num_updates=2"]
    curves = read_logs([write_lines(tmp_path / "a.log", lines)])
    assert curves.training == {"loss": {2: 4.0}} and curves.broken == 2


def test_odd_lines_and_numbers_are_counted_and_end_nothing(tmp_path):
    deep = '{"epoch": 1, "loss": ' + "[" * 20_000 + "]" * 20_000 + ', "num_updates": "3"}'
    lines = [deep, '{"epoch": 1, "loss": "2{"epoch": 1}', "epoch 001:     1 / 9 loss=1, num_updates=1e308"]
    lines += [f"epoch 001:     1 / 9 loss={loss}, num_updates={update}" for update, loss in
              enumerate(("1e308", "-1e308", "1e-310", "3"))]  # fmt: skip
    source = open_source(write_lines(tmp_path / "run.log", lines), "run")
    assert source.curves.training == {"loss": {2: 1e-310, 3: 3.0}} and source.curves.broken == 4
    assert "4 logged numbers or lines have no point" in source.notes[0]
    (chart,) = training_charts([source])
    assert chart.paths[0].points and not chart.y_label


def test_averages_of_epochs_where_there_are_no_lines_between(tmp_path):
    log = write_lines(
        tmp_path / "a.log", ["epoch 001 | loss 3 | num_updates 97", "epoch 002 | loss 2 | num_updates 194"]
    )
    assert read_logs([log]).training == {"loss": {97: 3.0, 194: 2.0}}


def test_checkpoints_tell_of_their_epoch_and_their_validation(tmp_path):
    for updates in (2, 4):
        meters = [
            (10, "loss", "AverageMeter", {"val": 1.0, "sum": torch.tensor(6.0), "count": torch.tensor(updates)}),
            (20, "lr", "AverageMeter", {"val": 0.5, "sum": 0, "count": 0}),
            (30, "wps", "TimeMeter", {"init": 0, "n": 0}),
            (40, "_counts", "AverageMeter", {"val": 1, "sum": torch.ones(3), "count": 1}),
        ]
        state = {
            "extra_state": {"metrics": {"train": meters}, "val_loss": 30.0 + updates},
            "optimizer_history": [{"num_updates": updates}],
            "cfg": {"checkpoint": {"best_checkpoint_metric": "uer"}},
        }
        torch.save(state, tmp_path / f"checkpoint_1_{updates}.pt")
    curves = read_checkpoints(sorted(tmp_path.glob("*.pt")))
    assert curves.training == {"loss": {2: 3.0, 4: 1.5}, "lr": {2: 0.5, 4: 0.5}}
    assert curves.validation == {"valid": {"uer": {2: 32.0, 4: 34.0}}}


def test_what_fairseq_repeats_as_the_best_is_not_drawn():
    curves = Curves({"valid": {"loss": {1: 2.0}, "best_loss": {1: 2.0}, "best_accuracy": {1: 3.0}}}, 0)
    (chart,) = training_charts([SimpleNamespace(name="run", curves=curves)])
    assert "best" not in str(chart)


def test_the_loss_of_joint_pre_training_is_the_mean_of_its_parts(tmp_path):
    """Its meter is derived, and no checkpoint keeps those."""
    meters = [
        (10, f"{kind}_loss", "AverageMeter", {"sum": sum_, "count": 2}) for kind, sum_ in (("speech", 8), ("text", 4))
    ]
    state = {"extra_state": {"metrics": {"train": meters}}, "optimizer_history": [{"num_updates": 3}]}
    torch.save(state, tmp_path / "checkpoint_1_3.pt")
    assert read_checkpoints(tmp_path.glob("*.pt")).training["loss"] == {3: 3.0}


def test_what_is_no_checkpoint_is_named(tmp_path):
    for content in ([1, 2], {"extra_state": {"metrics": {"train": [1]}}}):
        torch.save(content, tmp_path / "checkpoint_last.pt")
        with pytest.raises(CheckpointError, match="checkpoint_last.pt: holds no numbers of a training"):
            read_checkpoints([tmp_path / "checkpoint_last.pt"])
