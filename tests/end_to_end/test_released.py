"""Checkpoints of the published code decode, and start a training, as they are."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch
from commands import SIZES, generation, hypotheses, recognition, run
from helpers import TINY_SIZES, tiny_config

from speecht5_fairseq.models.checkpoint import read_checkpoint
from speecht5_fairseq.models.released_format import to_released
from speecht5_fairseq.models.released_options import EXTRACTOR_LAYERS, PAIRS, RENAMED

SEARCH = ["--beam", 3, "--max-len-b", 8, "--ctc-decoding-weight", 0.4]


def released_options(arch: str, **more: object) -> Namespace:
    """Those of a `tiny_config`, all of them, as a checkpoint of the published code has them."""
    config = tiny_config()
    theirs = {name: getattr(config, renamed.ours) for name, renamed in RENAMED.items()}
    theirs |= {one: theirs[other] for one, other in PAIRS.items()}
    theirs |= {"conv_feature_layers": EXTRACTOR_LAYERS.format(config.conv_channels), "extractor_mode": "default"}
    theirs |= {"se_predict": None, "sid_pooling_layer": "decoder", "sid_softmax_type": "softmax"}
    fixed = {"share_input_output_embed": True, "relative_position_embedding": True, "bert_init": True}
    return Namespace(arch=arch, _name=arch, **theirs, **fixed, **more)


def released_file(ours: Path, path: Path, options: Namespace, task: str) -> Path:
    """The checkpoint `ours` as the published code would have saved it."""
    state = read_checkpoint(ours)
    cfg = {"model": options, "task": Namespace(_name="speecht5", t5_task=task, data="/gone"), "criterion": None}
    kept = {name: state[name] for name in ("optimizer_history", "extra_state", "last_optimizer_state")}
    torch.save({"args": None, "cfg": cfg, "model": to_released(state["model"]), "task_state": {}, **kept}, path)
    return path


@pytest.fixture(scope="module")
def released(recognizer, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    options = released_options("t5_transformer_base_asr", use_codebook=False)
    return released_file(recognizer / "checkpoint_last.pt", folder / "asr.pt", options, "s2t")


def test_a_released_recogniser_decodes_what_ours_decodes(data, recognizer, released):
    ours = run("fairseq-generate", *generation(data, recognizer / "checkpoint_last.pt", *SEARCH))
    theirs = run("fairseq-generate", *generation(data, released, *SEARCH))
    assert hypotheses(theirs) == hypotheses(ours) and hypotheses(ours)
    assert "read by nothing: decoder.layers.0.norm_k.bias" in theirs


def test_training_starts_from_a_released_model(data, pretrained, tmp_path):
    options = released_options("t5_transformer_base", use_codebook=True)
    start = released_file(pretrained / "checkpoint_last.pt", tmp_path / "base.pt", options, "pretrain")
    folders = tmp_path / "from_released", tmp_path / "from_ours"
    for path, folder in zip((start, pretrained / "checkpoint_last.pt"), folders, strict=True):
        output = run("fairseq-train", *recognition(data, "--finetune-from-model", path, "--save-dir", folder))
    theirs, ours = (read_checkpoint(folder / "checkpoint_last.pt")["model"] for folder in folders)
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items()), output


def test_a_released_model_of_another_size_is_refused_with_the_tensors(data, released, tmp_path):
    options = ["--finetune-from-model", released, "--save-dir", tmp_path / "run"]
    wider = [option for option in SIZES if not option.startswith("--ffn-dim")]
    arguments = [option for option in recognition(data, *options) if option not in SIZES]
    output = run("fairseq-train", *arguments, *wider, f"--ffn-dim={2 * TINY_SIZES['ffn_dim']}", fails=True)
    assert "of another size" in output and "decoder.layers.0.feed_forward.fc1.bias" in output
