"""What is read of a checkpoint before it is loaded."""

import argparse
import os

import pytest
import torch

from speecht5_fairseq.models.checkpoint import read_checkpoint, read_state, trained_prediction
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


class Runs:
    """Something that unpickling would call."""

    def __reduce__(self):
        return os.mkdir, ("it_ran",)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_what_a_file_would_run_is_named_and_not_run(tmp_path, monkeypatch, zipped):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {"encoder.x": Runs()}}, tmp_path / "bad.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="bad.pt: wants to run .*mkdir, which loading tensors does not need"):
        read_state(tmp_path / "bad.pt")
    assert not (tmp_path / "it_ran").exists()


def test_files_of_older_torch_and_no_files_of_torch(tmp_path):
    torch.save({"model": {"x": torch.ones(2)}}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(read_state(tmp_path / "old.pt")["model"]["x"], torch.ones(2))
    for content in (b"", b"text", b"PK\x03\x04", b"\x80\x02}"):
        (tmp_path / "none.pt").write_bytes(content)
        with pytest.raises(
            CheckpointError, match="none.pt: no readable checkpoint .*; copy it again, or give another$"
        ):
            read_state(tmp_path / "none.pt")
    with pytest.raises(FileNotFoundError):
        read_state(tmp_path / "missing.pt")
