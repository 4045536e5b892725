"""What is said of a checkpoint without building its model."""

from argparse import Namespace

import pytest
import torch
from checkpoints import bad_checkpoints, tiny_checkpoint
from helpers import CLASSES, UNITS, model_over, tiny_base, tiny_config, tiny_model

from speecht5_fairseq.models.contents import saved_contents
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.facts import OURS, RELEASED, Base, Origin, Training, count_parts, read_facts
from speecht5_fairseq.models.jobs import JOBS
from speecht5_fairseq.models.released_format import to_released
from speecht5_fairseq.models.vocabulary import decode


@pytest.mark.parametrize("job", JOBS)
def test_the_parameters_are_those_of_the_model(job):
    model = tiny_model(job)
    parts = count_parts(model.state_dict())
    assert sum(part.parameters for part in parts) == sum(parameter.numel() for parameter in model.parameters())
    assert all(part.bytes == 4 * part.parameters for part in parts)
    own = {part.net: part.parameters for part in parts}
    assert own["encoder"] == sum(parameter.numel() for parameter in model.encoder.parameters())


@pytest.mark.parametrize("job", JOBS)
def test_the_job_is_that_of_the_checkpoint(job, tmp_path):
    assert read_facts(tiny_checkpoint(tmp_path / "checkpoint.pt", job)).job == job


def test_training_sizes_and_contents(tmp_path):
    facts = read_facts(tiny_checkpoint(tmp_path / "checkpoint.pt", "pretrain", units=["1", "2"], unit_dim=11))
    assert facts.training == Training(updates=1200, epoch=7, metric="loss", best=0.25, optimizer=False)
    assert facts.origin == Origin(OURS, None, [], "") and facts.preset == "speecht5"
    assert facts.options["unit_dim"] == facts.changed["unit_dim"] == 11 and "pre_norm" not in facts.changed
    assert facts.units == UNITS and facts.contents.units == ["1", "2"] and facts.classes == 0
    assert "vocabulary" not in facts.nets and facts.nets[-1] == "unit_head"
    assert facts.bytes == (tmp_path / "checkpoint.pt").stat().st_size
    assert read_facts(tiny_checkpoint(tmp_path / "s2c.pt", "s2c")).classes == len(CLASSES)


def test_additions_to_a_base_tell_which(tmp_path):
    base = tiny_base(tmp_path / "base.pt")
    model = model_over(base, "s2t", lora_rank=2)
    state = {
        "model": model.state_dict(),
        "cfg": {"model": {"_name": "speecht5", "base_checkpoint": str(base), "lora_rank": 2}},
    }
    torch.save(state, tmp_path / "added.pt")
    facts = read_facts(tmp_path / "added.pt")
    assert facts.origin.base == Base(str(base), decode(model.base.digest)[0]) and facts.job == "s2t"
    assert set(facts.nets) == {"encoder", "decoder", "ctc_head"}
    assert sum(part.parameters for part in facts.parts) == sum(
        parameter.numel() for parameter in model.parameters() if parameter.requires_grad
    )


def test_a_mean_and_a_start_are_told(tmp_path):
    state = torch.load(tiny_checkpoint(tmp_path / "checkpoint.pt", "s2t"))
    state["extra_state"]["averaged"] = ["a.pt", "b.pt"]
    state["cfg"]["checkpoint"]["finetune_from_model"] = "base.pt"
    state["last_optimizer_state"] = {"state": {}}
    torch.save(state, tmp_path / "checkpoint.pt")
    facts = read_facts(tmp_path / "checkpoint.pt")
    assert facts.origin == Origin(OURS, None, ["a.pt", "b.pt"], "base.pt") and facts.training.optimizer


def test_the_published_code_s_options_are_ours(tmp_path):
    model = tiny_model("s2t", relative_distance=7)
    options = Namespace(arch="t5_transformer_base_asr", encoder_layers=2, decoder_layers=2, encoder_embed_dim=24)
    cfg = {"model": options, "task": Namespace(_name="speecht5", t5_task="s2t")}
    torch.save({"model": to_released(model.state_dict()), "cfg": cfg, "task_state": {}}, tmp_path / "theirs.pt")
    facts = read_facts(tmp_path / "theirs.pt")
    assert facts.origin.writer == RELEASED and facts.job == "s2t" and facts.preset == "t5_transformer_base_asr"
    assert facts.changed == {"embed_dim": 24, "encoder_layers": 2, "decoder_layers": 2}
    assert facts.options["mask_prob"] == 0.75 and not facts.contents.symbols
    own = sum(parameter.numel() for parameter in model.parameters())
    assert sum(part.parameters for part in facts.parts) == own
    told = {"model": model.state_dict(), "cfg": cfg, "task_state": saved_contents()}
    torch.save(told, tmp_path / "ours.pt")  # trained by this code, under the published names
    facts = read_facts(tmp_path / "ours.pt")
    assert facts.origin.writer == OURS and facts.preset == "t5_transformer_base_asr" and facts.job == "s2t"


@pytest.mark.parametrize(
    "criterion, weight",
    [({"ctc_weight": 0.5}, 0.5), (Namespace(ctc_weight=0.0), 0.0), ({"ctc_weight": -1}, 0.0), ({}, None)],
)
def test_the_weight_of_the_ctc_loss_is_told(tmp_path, criterion, weight):
    """By our criterion's options, or by the published code's."""
    state = torch.load(tiny_checkpoint(tmp_path / "checkpoint.pt", "s2t"))
    state["cfg"]["criterion"] = criterion
    torch.save(state, tmp_path / "checkpoint.pt")
    assert read_facts(tmp_path / "checkpoint.pt").ctc_weight == weight


def test_a_file_of_tensors_alone_is_read_as_far_as_it_goes(tmp_path):
    facts = read_facts(tiny_base(tmp_path / "bare.pt", "t2s"))
    assert (
        facts.job == "t2s"
        and facts.options == facts.changed == {}
        and facts.training == Training(0, None, None, None, False)
    )


def test_another_model_is_refused(tmp_path):
    path, said = bad_checkpoints(tmp_path)["other model"]
    with pytest.raises(CheckpointError, match=said):
        read_facts(path)


def test_options_of_before_are_read(tmp_path):
    """A checkpoint of an earlier version lacks options that are new."""
    state = torch.load(tiny_checkpoint(tmp_path / "checkpoint.pt", "s2t"))
    for name in ("lora_rank", "freeze", "base_checkpoint"):
        del state["cfg"]["model"][name]
    torch.save(state, tmp_path / "checkpoint.pt")
    changed = read_facts(tmp_path / "checkpoint.pt").changed
    assert changed["embed_dim"] == tiny_config().embed_dim and "lora_rank" not in changed


def test_a_number_among_the_names_and_a_tensor_for_the_optimizer(tmp_path):
    path = tiny_checkpoint(tmp_path / "c.pt", "s2t")
    state = torch.load(path, weights_only=True)
    torch.save({**state, "last_optimizer_state": torch.zeros(0, 5)}, path)
    assert not read_facts(path).training.optimizer
    state["cfg"]["model"][7] = 1
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="options that this version does not know: 7; take a newer"):
        read_facts(path)


def test_a_signal_without_an_end_is_shown_in_part(tmp_path):
    path = tiny_checkpoint(tmp_path / "c.pt", "s2t")
    state = torch.load(path, weights_only=True)
    state["task_state"]["signal"]["MEL_HOP"] = "x" * 100_000
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="MEL_HOP x{80}, here 256"):
        read_facts(path)
