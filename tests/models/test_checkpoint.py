"""What is read of a checkpoint before it is loaded."""

import argparse

import pytest
import torch

from speecht5_fairseq.models.checkpoint import read_checkpoint, trained_prediction
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
