"""What fairseq-train starts from, found by fairseq's own rule, and which data parallel backend can train a model."""

import os
import re
from pathlib import Path

import pytest
from helpers import model_over, tiny_base, tiny_model

from speecht5_fairseq.training import start
from speecht5_fairseq.training.start import (
    check_backend,
    check_sharding,
    checkpoint_folders,
    is_fine_tuning,
    log_learning,
    starting_checkpoint,
    without_gradient,
)


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
    expected_start = expected is not None and expected == finetune
    assert is_fine_tuning(found, save_dir="out", finetune_from_model=finetune) == expected_start


def test_a_base_is_looked_for_beside_each_checkpoint_to_decode_with():
    assert checkpoint_folders(None) == []
    assert checkpoint_folders(os.pathsep.join(["a/b/best.pt", "last.pt"])) == [Path("a/b"), Path(".")]


FROZEN = ["frozen updates (--freeze-encoder-updates, --freeze-decoder-updates, --freeze)"]
LAYERDROP = {"encoder_layerdrop": 0.1, "decoder_layerdrop": 0.2}


@pytest.mark.parametrize(
    "job, options, causes",
    [
        ("pretrain", {}, ["the different nets of speech and text"]),
        ("pretrain_speech", {}, []),
        ("s2t", {}, []),
        ("t2s", {}, []),
        ("s2t", {"freeze_encoder_updates": 3}, FROZEN),
        ("s2t", {"freeze": "encoder.layers.1:3"}, FROZEN),
        ("s2t", {"freeze": "encoder.layers.1:forever"}, []),
        ("s2t", LAYERDROP, ["--encoder-layerdrop 0.1", "--decoder-layerdrop 0.2"]),
        ("s2t", {"mask_prob": 0.0}, ["--mask-prob 0 (the mask's vector)"]),
    ],
)
def test_what_leaves_parameters_without_a_gradient(job, options, causes):
    assert without_gradient(tiny_model(job, **options)) == causes


def test_a_mask_vector_that_is_frozen_needs_no_gradient(tmp_path):
    base = tiny_base(tmp_path / "base.pt")
    assert without_gradient(model_over(base, lora_rank=2, mask_prob=0.0)) == []
    trained = model_over(base, train_nets="speech_encoder_prenet", mask_prob=0.0)
    assert without_gradient(trained) == ["--mask-prob 0 (the mask's vector)"]


@pytest.mark.parametrize("backend", ["pytorch_ddp", "c10d"])
def test_a_backend_that_needs_every_gradient_is_refused(backend):
    joint, recognizer = tiny_model("pretrain"), tiny_model("s2t")
    several = {"find_unused": False, "cpu": False, "processes": 2}
    message = f"--ddp-backend {backend} with 2 .*the different nets of speech and text .*add --ddp-backend legacy_ddp"
    with pytest.raises(ValueError, match=message):
        check_backend(joint, backend, **several)
    with pytest.raises(ValueError, match=f"{backend} is for GPUs; with --cpu add --ddp-backend legacy_ddp"):
        check_backend(recognizer, backend, **several | {"cpu": True})
    check_backend(recognizer, backend, **several)
    check_backend(joint, backend, **several | {"find_unused": True})
    check_backend(joint, backend, **several | {"processes": 1, "cpu": True})


@pytest.mark.parametrize("backend", ["legacy_ddp", "no_c10d"])
def test_a_backend_that_sums_the_gradients_there_are_passes(backend):
    check_backend(tiny_model("pretrain", **LAYERDROP), backend, find_unused=False, cpu=True, processes=2)


@pytest.mark.parametrize("backend", ["fully_sharded", "slowmo"])
def test_backends_of_fairscale_are_refused_with_what_shards_instead(backend):
    message = f"--ddp-backend {backend}: .*add --ddp-backend legacy_ddp, with --zero-sharding os"
    with pytest.raises(ValueError, match=message):
        check_sharding(backend, "none", processes=2)


def test_states_are_sharded_over_processes_and_by_fairscale(monkeypatch):
    check_sharding("legacy_ddp", "none", processes=1)
    with pytest.raises(ValueError, match="--zero-sharding os shards .* and there is one: drop it"):
        check_sharding("legacy_ddp", "os", processes=1)
    monkeypatch.setattr(start, "find_spec", {"fairscale": None}.__getitem__)
    with pytest.raises(ValueError, match="--zero-sharding os needs fairscale, .*pip install .*fairscale, or drop it"):
        check_sharding("legacy_ddp", "os", processes=2)
    monkeypatch.setattr(start, "find_spec", {"fairscale": object()}.__getitem__)
    check_sharding("legacy_ddp", "os", processes=2)


@pytest.mark.parametrize(
    "job, options, said",
    [
        ("s2s", {"mask_prob": 0.8}, "about 55% .*--mask-prob 0.8.: the recipes of this job give --mask-prob 0"),
        ("s2c", {"mask_prob": 0.5}, "about 39% .*--mask-prob 0.5.: the recipes of this job give --mask-prob 0"),
        ("s2t", {"mask_prob": 0.5}, r"about 39% of the source's frames are masked in training \(--mask-prob 0.5\)$"),
        ("s2s", {"mask_prob": 0.0}, None),
        ("t2s", {"mask_prob": 0.8}, None),
    ],
)
def test_what_a_model_is_not_shown_is_told(job, options, said, caplog):
    caplog.set_level("INFO")
    log_learning(tiny_model(job, **options))
    found = [line for line in caplog.messages if "masked" in line]
    assert found == [] if said is None else re.match(said, found[0])
