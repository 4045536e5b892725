"""What is read of a checkpoint before it is loaded."""

import argparse
import os

import pytest
import torch
from checkpoints import Intruder, bad_checkpoints

from speecht5_fairseq.models.checkpoint import read_checkpoint, section, trained_prediction, updates_of
from speecht5_fairseq.models.errors import CheckpointError


@pytest.mark.parametrize(
    "state, expected",
    [
        ({"cfg": {"model": {"speech_prediction": "residual"}}}, "residual"),
        ({"cfg": {"model": argparse.Namespace(speech_prediction="mask")}}, "mask"),
        ({"cfg": {"model": {}}}, "mel"),
        ({"cfg": {"model": None}}, "mel"),
        ({"cfg": None}, "mel"),
        ({}, "mel"),
    ],
)
def test_the_prediction_is_that_of_the_run_that_wrote_it(state, expected):
    assert trained_prediction(state) == expected


def test_a_file_is_read_or_refused_by_its_name(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"model": {"encoder.x": torch.ones(2)}, "epoch": 3}, path)
    assert read_checkpoint(path)["epoch"] == 3
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match=f"^{path}: holds no model"):
        read_checkpoint(path)


@pytest.mark.parametrize("kind", ["cut off", "text", "function", "command", "other signal", "no model"])
def test_a_file_that_is_no_checkpoint_is_refused_and_nothing_in_it_is_run(tmp_path, kind):
    path, said = bad_checkpoints(tmp_path)[kind]
    with pytest.raises(CheckpointError, match=f"^{path}: {said}") as error:
        read_checkpoint(path)
    assert "weights_only" not in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "intruded").exists()


def test_what_an_intruder_would_do_without_care(tmp_path):
    """The test above would pass with an intruder that does nothing."""
    for kind in ("function", "command"):
        torch.load(bad_checkpoints(tmp_path)[kind][0], weights_only=False)
        (tmp_path / "intruded").unlink()


def test_a_path_without_a_file_says_so(tmp_path):
    with pytest.raises(CheckpointError, match=f"^{tmp_path}/gone.pt: no such checkpoint; correct the path"):
        read_checkpoint(tmp_path / "gone.pt")
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(CheckpointError, match="pipe.pt: cannot be read .a pipe, not a file.; give a file that can"):
        read_checkpoint(tmp_path / "pipe.pt")
    with pytest.raises(CheckpointError, match=f"^{tmp_path}: a folder, not a checkpoint; name a file in it"):
        read_checkpoint(tmp_path)


def test_the_format_of_older_torch_is_read_as_carefully(tmp_path):
    path = tmp_path / "old.pt"
    torch.save({"model": {"encoder.x": torch.ones(2)}}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(read_checkpoint(path)["model"]["encoder.x"], torch.ones(2))
    state = {"model": {}, "extra_state": Intruder(tmp_path / "intruded", command=True)}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="refused, and nothing in it was run: it asks for"):
        read_checkpoint(path)
    assert not (tmp_path / "intruded").exists()


def test_updates_are_those_of_the_last_optimizer():
    assert updates_of({"optimizer_history": [{"num_updates": 3}, {"num_updates": 5}]}) == 5
    assert updates_of({}) == updates_of({"optimizer_history": []}) == 0


def test_a_section_is_told_by_whatever_holds_it():
    assert section({}, "task") == section({"cfg": {"task": None}}, "task") == section({"cfg": None}, "task") == {}
    for options in ({"t5_task": "s2t"}, argparse.Namespace(t5_task="s2t")):
        assert section({"cfg": {"task": options}}, "task") == {"t5_task": "s2t"}
