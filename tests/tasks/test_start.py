"""What fairseq-train starts from: found by fairseq's own rule."""

import pytest

from speecht5_fairseq.tasks.start import starting_checkpoint


@pytest.mark.parametrize(
    "present, restore, finetune, expected",
    [
        ((), "checkpoint_last.pt", None, None),
        (("out/checkpoint_last.pt",), "checkpoint_last.pt", None, "out/checkpoint_last.pt"),
        (("pretrained.pt",), "checkpoint_last.pt", "pretrained.pt", "pretrained.pt"),
        (("out/checkpoint_last.pt", "pretrained.pt"), "checkpoint_last.pt", "pretrained.pt", "out/checkpoint_last.pt"),
        (("out/checkpoint_last.pt", "other.pt"), "other.pt", None, "other.pt"),
        (("out/checkpoint_last.pt",), "other.pt", None, None),
        ((), "checkpoint_last.pt", "gone.pt", None),  # fairseq's own message follows
    ],
)
def test_the_checkpoint_that_a_run_starts_from(tmp_path, monkeypatch, present, restore, finetune, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    for name in present:
        (tmp_path / name).touch()
    found = starting_checkpoint(save_dir="out", restore_file=restore, finetune_from_model=finetune)
    assert found is None if expected is None else str(found) == expected
