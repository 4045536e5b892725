"""What fairseq might evaluate, or build in place of our model, is refused before it does."""

import argparse

import pytest
import torch
from checkpoints import tiny_checkpoint
from helpers import model_options, tiny_manifest
from omegaconf import OmegaConf

from speecht5_fairseq.models.adapters import load_adapted
from speecht5_fairseq.models.calls import check_language_model, check_model, check_no_calls, check_task
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.tasks.s2t import S2TTask, S2TTaskConfig

TOUCH = "[__import__('pathlib').Path('{}').touch()]"


def test_our_models_are_built_and_no_others():
    for options in (
        model_options(),
        model_options(_name="speecht5_large"),
        argparse.Namespace(arch="t5_transformer_base"),
    ):
        check_model(options)
    for options in (
        OmegaConf.create({"_name": "wav2vec2"}),
        argparse.Namespace(arch="transformer_lm"),
        OmegaConf.create(),
    ):
        with pytest.raises(CheckpointError, match="the model .* is not SpeechT5: this task builds speecht5,"):
            check_model(options)


def test_options_of_a_newer_version_are_not_left_out():
    """fairseq drops options of a checkpoint that the installed model does not have."""
    check_model(OmegaConf.create({"_name": "speecht5", "embed_dim": 24}))
    with pytest.raises(CheckpointError, match="the checkpoint: options that this version does not know: rotary"):
        check_model(OmegaConf.create({"_name": "speecht5", "rotary": True}))


def test_a_checkpoint_that_names_a_model_which_evaluates_its_options_is_not_built(tmp_path):
    """wav2vec2 of fairseq evaluates conv_feature_layers; our tensors stand beside."""
    tiny_manifest(tmp_path)
    options = {"path": None, "lm_path": None, "seed": 1, "train_subset": "train"}
    task = S2TTask.setup_task(S2TTaskConfig(data=str(tmp_path), **options))
    cfg = OmegaConf.create({"_name": "wav2vec2", "conv_feature_layers": TOUCH.format(tmp_path / "intruded")})
    with pytest.raises(CheckpointError, match="the model 'wav2vec2'"):
        task.build_model(cfg, from_checkpoint=True)
    assert not (tmp_path / "intruded").exists()


@pytest.mark.parametrize(
    "value, refused",
    [
        ("[os.system('x')]", True),
        ("  print(1)", True),
        ("[(512, 10, 5)] + [(512, 3, 2)] * 4", False),
        ("gelu", False),
        ("/home/x (1)/y", False),
        ("not python (", False),
        ("", False),
    ],
)
def test_what_would_call_something_is_refused(value, refused):
    for state in (
        {"cfg": {"model": {"_name": "fconv_lm", "decoder_layers": value}}},
        {"cfg": {"task": {"nested": [{"x": value}]}}},
        {"cfg": None, "args": argparse.Namespace(adaptive_softmax_cutoff=value)},
    ):
        if refused:
            with pytest.raises(CheckpointError, match="lm.pt: refused, and nothing in it was run: its option"):
                check_no_calls(state, "lm.pt")
        else:
            check_no_calls(state, "lm.pt")
    check_no_calls({"cfg": {"task": {"data": "copies(2)/bin"}}}, "lm.pt")


def test_a_language_model_is_looked_at_before_fairseq_builds_it(tmp_path):
    path = tmp_path / "lm.pt"
    torch.save({"cfg": {"model": {"_name": "fconv_lm", "decoder_layers": TOUCH.format(tmp_path / "intruded")}}}, path)
    tiny_manifest(tmp_path)
    options = {"path": None, "seed": 1, "train_subset": "train", "lm_path": str(path)}
    with pytest.raises(CheckpointError, match=f"{path}: refused, .* its option decoder_layers is"):
        S2TTask.setup_task(S2TTaskConfig(data=str(tmp_path), **options))
    torch.save([], path)
    check_language_model(path)  # no checkpoint at all: fairseq says so


def test_adapted_models_are_looked_at_before_fairseq_builds_them(tmp_path):
    for options in ({"_name": "audio_pretraining"}, {"task": "audio_pretraining"}, {"_name": None}):
        path = tiny_checkpoint(tmp_path / "a.pt", "t2s", task_options=options)
        with pytest.raises(
            CheckpointError, match="a.pt: its task is (.*audio_pretraining|not told).*, not one of Speech"
        ):
            load_adapted([path])
    check_task({"args": argparse.Namespace(task="speecht5")}, "a.pt")
    check_task({"cfg": {"task": argparse.Namespace(_name="speecht5_t2s")}}, "a.pt")
