"""Error rates by hand."""

import pytest

from speecht5_fairseq.scoring.error_rate import ErrorCount, character_errors, edits, word_errors


@pytest.mark.parametrize(
    ("reference", "hypothesis", "count"),
    [("kitten", "sitting", 3), ("", "ab", 2), ("ab", "", 2), ("same", "same", 0), (["a", "b"], ["b"], 1)],
)
def test_edits(reference, hypothesis, count):
    assert edits(reference, hypothesis) == count


def test_the_rate_of_a_corpus_is_not_the_mean_of_rates():
    words = word_errors(["a", "one  two three four"], ["b", "one two three four"])
    assert words == (1, 5)
    assert words.percent == 20.0


def test_spaces_between_words_are_characters():
    assert character_errors(["ab  cd"], ["abcd"]) == (1, 5)


def test_rates_above_hundred_and_empty_references():
    assert word_errors(["a"], ["b c d"]).percent == 300.0
    assert ErrorCount(0, 0).percent == 0.0
    assert word_errors([""], ["a"]).percent == float("inf")


@pytest.mark.parametrize("errors", [word_errors, character_errors])
def test_lists_of_different_lengths(errors):
    with pytest.raises(ValueError, match="2 references and 1 hypotheses"):
        errors(["a", "b"], ["a"])
