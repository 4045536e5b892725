"""Codes that nothing chooses are counted over updates and seeded anew."""

import logging

import pytest
import torch
from fairseq.dataclass.configs import FairseqConfig
from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig
from fairseq.optim.fp16_optimizer import FP16Optimizer
from helpers import tiny_dictionary, tiny_model
from omegaconf import OmegaConf

from speecht5_fairseq.models.contents import contents_of
from speecht5_fairseq.tasks.pretrain import PretrainTask, PretrainTaskConfig
from speecht5_fairseq.training.code_revival import CodeRevival


@pytest.fixture
def model():
    return tiny_model("pretrain", codebook_prob=0.5).train()


def adam(model):
    return FairseqAdam(FairseqAdamConfig(adam_betas="(0.9, 0.98)", lr=[0.1]), list(model.parameters()))


def table(model, *chosen):
    """Counts of a batch, in which these entries of each group were chosen."""
    counts = torch.zeros(model.quantizer.groups, model.quantizer.entries)
    counts[:, list(chosen)] = 5
    return {"codes_speech": counts, "codes_text": torch.zeros_like(counts)}


def update(revival, model, number, *logs, optimizer=None, states=None):
    """One update whose batches logged this, on random states."""
    optimizer = optimizer or adam(model)
    for log in logs:
        revival.prepare(model, optimizer)
        width = model.quantizer.projection.in_features
        model.quantizer.recent.append(torch.randn(300, width) if states is None else states)
        revival.note(log)
    revival.finish_update(model, optimizer, number)


def books(model):
    return model.quantizer.codebook.detach().clone()


def test_a_code_comes_back_after_so_many_updates_unchosen_in_a_row(model, caplog):
    caplog.set_level(logging.INFO)
    revival, start, entries = CodeRevival(updates=3, seed=1), books(model), range(model.quantizer.entries)
    all_but_two = table(model, *entries[2:])
    for number, log in enumerate([all_but_two, all_but_two, table(model, *entries), all_but_two, all_but_two]):
        update(revival, model, number, log)
        assert torch.equal(books(model), start)
    update(revival, model, 5, table(model, *entries[2:4]), table(model, *entries[4:]))  # two batches of one update
    changed = (books(model) != start).any(-1)
    assert changed[:, :2].all() and not changed[:, 2:].any()
    assert "update 5: 4 of 14 codes revived" in caplog.text
    assert not revival.unchosen.any() and not model.quantizer.recent


def test_an_update_that_is_tried_again_counts_once(model):
    """As with --amp, where fairseq takes a step whose gradients overflow and then the same batches again."""
    revival = CodeRevival(updates=9, seed=1)
    for number in (0, 1, 1, 1):
        update(revival, model, number, table(model, 2))
    assert revival.unchosen.max() == 2


def test_what_an_overflow_throws_away_is_not_counted(model):
    """As with --fp16, where fairseq takes no step, and tries the update again."""
    revival, optimizer = CodeRevival(updates=9, seed=1), adam(model)
    revival.prepare(model, optimizer)
    model.quantizer.recent.append(torch.randn(300, model.quantizer.projection.in_features))
    revival.note(table(model, 1))
    revival.begin_update(model)
    assert not model.quantizer.recent
    update(revival, model, 0, table(model, 2), optimizer=optimizer)
    assert revival.unchosen[0].tolist() == [1, 1, 0, 1, 1, 1, 1]


def test_an_update_whose_batches_were_left_out_does_not_count(model):
    revival = CodeRevival(updates=9, seed=1)
    for number, log in enumerate([table(model, 2), table(model), table(model, 2)]):
        update(revival, model, number, log)
    assert revival.unchosen[0].tolist() == [2, 2, 0, 2, 2, 2, 2]


def test_states_that_are_not_finite_seed_nothing(model):
    revival, start = CodeRevival(updates=1, seed=1), books(model)
    width = model.quantizer.projection.in_features
    update(revival, model, 0, table(model, 2), states=torch.full((300, width), torch.nan))
    assert torch.equal(books(model), start)
    update(revival, model, 1, table(model, 2))
    assert not torch.equal(books(model), start) and model.quantizer.codebook.isfinite().all()


@pytest.mark.parametrize("frozen", [False, True])
def test_without_the_option_or_the_right_nothing_is_kept_or_changed(model, frozen):
    revival, start = CodeRevival(updates=int(frozen), seed=1), books(model)
    model.quantizer.codebook.requires_grad_(not frozen)
    update(revival, model, 0, table(model, 2))
    assert torch.equal(books(model), start) and revival.unchosen is None and not model.quantizer.kept_states


def test_half_precision_copies_learn_of_the_change(model):
    model.bfloat16()
    cfg = OmegaConf.structured(FairseqConfig())
    cfg.common.bf16, cfg.common.cpu = True, True
    cfg.optimizer = FairseqAdamConfig(_name="adam", adam_betas="(0.9, 0.98)", lr=[0.0])
    optimizer = FP16Optimizer.build_optimizer(cfg, list(model.parameters()))
    start = books(model)
    update(CodeRevival(updates=1, seed=1), model, 0, table(model, 2), optimizer=optimizer)
    revived = books(model)
    assert not torch.equal(revived, start)
    optimizer.zero_grad()
    optimizer.backward(sum(parameter.float().sum() for parameter in model.parameters()))
    optimizer.step()  # at a rate of 0; it writes the copies into the model
    assert torch.equal(books(model), revived)


def test_flat_half_precision_copies_are_refused(model):
    class Flat(FP16Optimizer):
        has_flat_params = True

        def __init__(self):
            pass

    with pytest.raises(ValueError, match="--revive-codes needs parameters one by one: with --fp16 add"):
        update(CodeRevival(updates=1, seed=1), model, 0, table(model, 2), optimizer=Flat())


def task(**options):
    found = PretrainTask(PretrainTaskConfig(data=".", path=None, seed=1, **options), "pretrain")
    found.text_dictionary = tiny_dictionary()
    return found


@pytest.mark.parametrize("limit, kept", [(4, True), (0, False)])
def test_a_resumed_run_goes_on_counting_where_it_revives(model, tmp_path, limit, kept):
    first, counts = task(revive_codes=4), torch.arange(14).view(2, 7)
    assert "unchosen_codes" not in first.state_dict()
    first.revival.unchosen = counts
    contents = contents_of({"model": model.state_dict(), "task_state": first.state_dict()}, tmp_path)
    second = task(revive_codes=limit)
    second.resume(contents)
    assert torch.equal(second.state_dict()["unchosen_codes"], counts) if kept else second.revival.unchosen is None
