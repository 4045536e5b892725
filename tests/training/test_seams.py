"""What this code puts in the place of fairseq's saving and loading."""

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager
from omegaconf import OmegaConf

from speecht5_fairseq.models.checksum import has_checksum, why_broken
from speecht5_fairseq.training import seams
from speecht5_fairseq.training.kept import KeptTask


def test_fairseqs_names_are_ours_once_the_user_dir_is_imported():
    for name in ("torch_persistent_save", "save_checkpoint", "load_checkpoint"):
        assert getattr(checkpoint_utils, name) is getattr(seams, name)
    assert checkpoint_utils.PathManager is seams.WholeCopies and issubclass(seams.WholeCopies, PathManager)


def test_fairseqs_saving_writes_a_checksum_and_copies_keep_it(tmp_path):
    checkpoint_utils.torch_persistent_save({"model": torch.ones(9)}, str(tmp_path / "a.pt"))
    assert checkpoint_utils.PathManager.copy(str(tmp_path / "a.pt"), str(tmp_path / "b.pt"), overwrite=True)
    for name in ("a.pt", "b.pt"):
        assert has_checksum(tmp_path / name) and not why_broken(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "b.pt"]


def test_a_copy_that_is_cut_short_leaves_the_old_file(tmp_path, monkeypatch):
    """fairseq's own writes over it in place."""
    (tmp_path / "a.pt").write_bytes(b"new" * 1000)
    (tmp_path / "b.pt").write_bytes(b"old")

    def cut(source, target, size):
        target.write(source.read(10))
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.copyfileobj", cut)
    with pytest.raises(KeyboardInterrupt):
        checkpoint_utils.PathManager.copy(str(tmp_path / "a.pt"), str(tmp_path / "b.pt"), overwrite=True)
    assert (tmp_path / "b.pt").read_bytes() == b"old"


def test_what_is_written_later_or_elsewhere_is_fairseqs(monkeypatch):
    seen = []
    monkeypatch.setattr(seams, "_fairseq_write", lambda *arguments: seen.append(arguments))
    checkpoint_utils.torch_persistent_save({}, "a.pt", async_write=True)
    assert seen == [({}, "a.pt", True)]


@pytest.mark.parametrize(
    ("checkpoint", "ema", "problem"),
    [
        ({"continue_once": "other.pt"}, {}, "--continue-once other.pt: .* give it as --restore-file"),
        ({}, {"store_ema": True}, "--store-ema: .* python -m speecht5_fairseq.average"),
    ],
)
def test_what_would_not_be_sound_is_refused_at_the_start(checkpoint, ema, problem):
    options = {"checkpoint": {"continue_once": None, "save_dir": "run"} | checkpoint, "ema": {"store_ema": False} | ema}
    cfg = OmegaConf.create(options)
    trainer = type("Trainer", (), {"task": KeptTask.__new__(KeptTask), "cfg": cfg})()
    with pytest.raises(ValueError, match=problem):
        checkpoint_utils.load_checkpoint(cfg.checkpoint, trainer)


def test_trainings_of_other_tasks_are_left_alone(monkeypatch):
    other = type("Trainer", (), {"task": object()})()
    monkeypatch.setattr(seams, "_fairseq_save", lambda *arguments: arguments)
    monkeypatch.setattr(seams, "_fairseq_load", lambda cfg, trainer, **options: (None, options))
    assert checkpoint_utils.save_checkpoint("cfg", other, "epochs", 1.0) == ("cfg", other, "epochs", 1.0)
    assert checkpoint_utils.load_checkpoint("cfg", other, a=1) == (None, {"a": 1})
