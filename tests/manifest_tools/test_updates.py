"""What an earlier run left of a split that is none any more."""

import pytest
from helpers import write_lines

from manifest_tools.updates import check_old_splits
from speecht5_fairseq.data.manifest import write_manifest


def test_recordings_that_were_held_out_and_are_trained_on_are_told(tmp_path):
    write_manifest(tmp_path / "train.tsv", "audio", [("a.wav", 1), ("b.wav", 1)])
    write_manifest(tmp_path / "valid.tsv", "elsewhere", [("a.wav", 1)])
    write_manifest(tmp_path / "test.tsv", tmp_path, [("audio/b.wav", 1), ("audio/c.wav", 1)])
    told = r"test.tsv: this run made no test, and 1 of the 2 recordings .* are in train.tsv now; delete test.\*, or"
    with pytest.raises(ValueError, match=told):
        check_old_splits(tmp_path, ["train"])
    check_old_splits(tmp_path, ["train", "test"])  # valid's are others
    write_lines(tmp_path / "test.tsv", [])
    check_old_splits(tmp_path, iter(["train"]))
