"""A collapse of the codebook is told once a stretch, of training alone."""

import logging

import pytest
import torch
from helpers import tiny_dictionary

from speecht5_fairseq.criterions.pretrain import PretrainCriterion, PretrainCriterionConfig
from speecht5_fairseq.tasks.pretrain import PretrainTask, PretrainTaskConfig
from speecht5_fairseq.training.codebook import CodebookWatch

FEW = torch.tensor([[9, 1, 0, 0], [10, 0, 0, 0]])  # perplexity 1.38 + 1
MANY = torch.full((2, 4), 5)  # 4 + 4


def log(speech, text=None):
    return {"codes_speech": speech, "codes_text": torch.zeros_like(speech) if text is None else text}


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_each_stretch_is_told_once(caplog):
    watch = CodebookWatch(bound=3.0, updates=3)
    told = []
    for few in [1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1]:
        watch.note([log(FEW if few else MANY)])
        told.append(len(warnings(caplog)))
    assert told == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2]
    assert "under --codebook-perplexity-bound 3 for 3 updates (now 2.38, of 2 to 8)" in warnings(caplog)[0]


def test_the_codes_of_both_modalities_and_of_all_batches_count_together():
    """Each alone has one code a group; a perplexity of 2 x 2 is what both have."""
    one, other = (torch.eye(4)[[code, code]] * 5 for code in (0, 1))
    watch = CodebookWatch(bound=3.9, updates=9)
    for outputs, under in (([log(one)], 1), ([log(one, other)], 0), ([log(one), log(other)], 0), ([log(one)], 1)):
        watch.note(outputs)
        assert watch.under == under


def test_an_update_without_codes_neither_counts_nor_ends_a_stretch():
    watch = CodebookWatch(bound=3.0, updates=9)
    for outputs in ([log(FEW)], [log(torch.zeros(2, 4))], [{"loss": torch.tensor(1.0)}], [log(FEW)]):
        watch.note(outputs)
    assert watch.under == 2


def task(**options):
    found = PretrainTask(PretrainTaskConfig(data=".", path=None, **options), "pretrain")
    found.text_dictionary = tiny_dictionary()
    return found


def test_the_task_looks_at_training_alone(caplog):
    found = task(codebook_perplexity_bound=3.0, codebook_perplexity_updates=1)
    criterion = PretrainCriterion.build_criterion(PretrainCriterionConfig(), found)
    entries = {"loss": torch.tensor(1.0), "sample_size": 3, "ntokens": 3, "nsentences": 1, "masked_frames": 3}
    outputs = [{**entries, "text_tokens": 0, **log(FEW), "probs_speech": FEW.float(), "probs_text": FEW.float()}]
    found.reduce_metrics(outputs, criterion.eval())
    assert not warnings(caplog)
    found.reduce_metrics(outputs, criterion.train())
    assert "the codebook has collapsed" in warnings(caplog)[0]


def test_a_stretch_has_a_length():
    with pytest.raises(ValueError, match="--codebook-perplexity-updates 0: give a whole number above 0"):
        task(codebook_perplexity_updates=0)


def test_a_code_is_not_revived_after_fewer_than_no_updates():
    with pytest.raises(ValueError, match="--revive-codes -1: give a whole number that is not below 0"):
        task(revive_codes=-1)
