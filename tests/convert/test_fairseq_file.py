"""Checkpoints of this code, read and written."""

from dataclasses import replace

import pytest
import torch
from conversions import full_checkpoint
from helpers import SYMBOLS, UNITS, tiny_piece_model

from speecht5_fairseq.convert.fairseq_file import complete_options, from_fairseq, write_fairseq
from speecht5_fairseq.convert.portable import expected_shapes
from speecht5_fairseq.models.checkpoint import read_state
from speecht5_fairseq.models.contents import read_contents
from speecht5_fairseq.models.signal_values import SIGNAL


def read(path, job=None):
    return from_fairseq(read_state(path), path, job)


def test_places_stay_and_the_rest_travels(tmp_path):
    model = read(full_checkpoint(tmp_path / "ours.pt", "t2s", task={"text_ends": "both", "vocoder": "/gone"}))
    assert model.task == {"seed": 3, "text_ends": "both"}
    assert model.history[0]["num_updates"] == 1200 and model.sentencepiece is None


def test_the_sentencepiece_model_of_the_training_is_found(tmp_path):
    spm = tiny_piece_model(tmp_path / "spm.model")
    model = read(full_checkpoint(tmp_path / "ours.pt", "s2t", task={"spm_model": str(spm)}))
    assert model.sentencepiece == spm.read_bytes()
    write_fairseq(model, tmp_path / "out" / "again.pt")
    assert (tmp_path / "out" / "spm.model").read_bytes() == spm.read_bytes()
    cfg = torch.load(tmp_path / "out" / "again.pt", weights_only=True)["cfg"]
    assert cfg["task"]["spm_model"] == str(tmp_path / "out" / "spm.model")
    assert (tmp_path / "out" / "dict.txt").read_text(encoding="utf-8").split("\n")[0] == f"{SYMBOLS[0]} 1"


def test_what_a_checkpoint_holds_besides_is_held_again(tmp_path):
    spm = tiny_piece_model(tmp_path / "spm.model")
    source = full_checkpoint(tmp_path / "ours.pt", "t2s", spm_model=spm)
    spm.unlink()
    write_fairseq(read(source), tmp_path / "out" / "again.pt")
    before, after = (read_contents(path) for path in (source, tmp_path / "out" / "again.pt"))
    assert after.pieces.content == before.pieces.content and after.signal == before.signal == SIGNAL
    assert after.piece_file == "spm.model" and after.symbols == before.symbols
    units = [str(unit) for unit in reversed(range(UNITS))]
    made_of = {"model": "0123456789abcdef", "features": "mfcc"}
    source = full_checkpoint(tmp_path / "units.pt", "pretrain", units=units, unit_source=made_of)
    write_fairseq(read(source), tmp_path / "units" / "again.pt")
    assert read_contents(tmp_path / "units" / "again.pt").units == units
    assert read_contents(tmp_path / "units" / "again.pt").unit_source == made_of
    assert (tmp_path / "units" / "dict.km.txt").read_text().split("\n")[0] == f"{UNITS - 1} 1"


def test_another_job_than_that_of_the_training_has_options_of_its_own(tmp_path):
    source = full_checkpoint(tmp_path / "ours.pt", "pretrain")
    model = read(source, "s2t")
    assert (model.job, model.home, model.job_options) == ("s2t", "pretrain", {})
    assert model.task == read(source).job_options and model.criterion == read(source).criterion
    assert (
        not any(name.startswith("ctc_head") for name in expected_shapes(model)) and model.config == read(source).config
    )


@pytest.mark.parametrize("job", ["pretrain", "pretrain_speech", "s2t", "t2s", "s2s", "s2c"])
def test_options_that_are_not_told_are_at_their_defaults(tmp_path, job):
    """Whatever fairseq's commands ask a task or criterion for is there, and nothing that torch refuses to load."""
    model = read(full_checkpoint(tmp_path / "ours.pt", job))._replace(task={}, criterion=None)
    write_fairseq(model, tmp_path / "out" / "again.pt")
    cfg = read_state(tmp_path / "out" / "again.pt")["cfg"]
    assert cfg == complete_options(model, tmp_path / "out")
    assert cfg["task"]["seed"] == 1 and cfg["task"]["verify_data"] == "full"
    assert not [name for part in cfg.values() for name, value in part.items() if str(value).startswith("${")]


def test_a_recogniser_without_ctc_head_is_not_told_to_learn_with_it(tmp_path):
    model = read(full_checkpoint(tmp_path / "ours.pt", "s2t", no_ctc_head=True))._replace(criterion=None)
    losses = complete_options(model, tmp_path)["criterion"]
    assert (losses["ce_weight"], losses["ctc_weight"]) == (1, 0)
    with_head = model._replace(config=replace(model.config, no_ctc_head=False))
    assert complete_options(with_head, tmp_path)["criterion"]["ctc_weight"] > 0
