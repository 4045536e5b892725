"""Sums over steps and workers."""

import torch
from fairseq.logging import metrics

from speecht5_fairseq.criterions.logging import log_ratio, log_sum, summed, total


def test_total_of_numbers_tensors_and_nothing():
    assert total([{"a": 1}, {"a": 2}, {"b": 5}], "a") == 3
    assert total([{"a": torch.tensor([1, 2])}, {"a": torch.tensor([3, 4])}], "a").tolist() == [4, 6]
    assert total([{"b": 1}], "a") == 0


def test_no_loss_is_logged_that_is_not_computed():
    with metrics.aggregate() as logged:
        log_ratio([{"tokens": 3}], "ctc_loss", "ctc", "tokens")
    assert not logged.get_smoothed_values()


def test_a_ratio_is_of_the_sums_and_not_a_mean_of_ratios():
    outputs = [{"errors": 1, "words": 1}, {"errors": torch.tensor(0), "words": 99}]
    with metrics.aggregate() as logged:
        log_ratio(outputs[:1], "wer", "errors", "words", scale=100)
        log_ratio(outputs[1:], "wer", "errors", "words", scale=100)
    assert logged.get_smoothed_values()["wer"] == 1.0


def test_nothing_is_logged_without_a_denominator():
    with metrics.aggregate() as logged:
        log_ratio([{"errors": 0, "words": 0}], "wer", "errors", "words")
        log_ratio([], "uer", "errors", "words")
    assert not logged.get_smoothed_values()


def test_sums_of_tensors_are_kept_over_steps_and_not_shown():
    with metrics.aggregate(new_root=True) as logged:
        log_sum([{"codes": torch.tensor([1, 2])}, {"codes": torch.tensor([3.0, 0.0])}], "codes")
        log_sum([{"codes": torch.tensor([0, 5])}], "codes")
    assert summed(logged, "codes").tolist() == [4, 7] and not logged.get_smoothed_values()
    logged.reset()
    assert summed(logged, "codes") == 0
