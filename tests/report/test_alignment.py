"""Alignments have the fewest edits, lose nothing, and are counted."""

from collections import Counter
from functools import cache

import editdistance
import numpy as np
import pytest

from speecht5_fairseq.report.alignment import Step, align, count_confusions, edit_count, most_frequent


def fewest_edits(reference, hypothesis):
    """By trying everything."""

    @cache
    def rest(row, column):
        if row == len(reference) or column == len(hypothesis):
            return len(reference) - row + len(hypothesis) - column
        differs = reference[row] != hypothesis[column]
        return min(rest(row + 1, column + 1) + differs, rest(row + 1, column) + 1, rest(row, column + 1) + 1)

    return rest(0, 0)


@pytest.mark.parametrize("seed", range(60))
def test_edits_are_the_fewest_and_both_sides_stay_whole(seed):
    rng = np.random.default_rng(seed)
    reference, hypothesis = ([str(rng.choice(list("abc"))) for _ in range(rng.integers(0, 9))] for _ in range(2))
    steps = align(reference, hypothesis)
    assert edit_count(steps) == fewest_edits(reference, hypothesis) == editdistance.eval(reference, hypothesis)
    assert [step.reference for step in steps if step.reference is not None] == reference
    assert [step.hypothesis for step in steps if step.hypothesis is not None] == hypothesis


def test_long_lines_too():
    rng = np.random.default_rng(0)
    reference, hypothesis = ("".join(rng.choice(list("abcdef "), size=size)) for size in (400, 380))
    assert edit_count(align(reference, hypothesis)) == editdistance.eval(reference, hypothesis)


def test_kinds_of_steps():
    steps = align(["the", "line", "is", "busy", "now"], ["a", "line", "is", "is", "busy"])
    assert [step.kind for step in steps] == ["substituted", "correct", "inserted", "correct", "correct", "deleted"]
    assert [step.kind for step in align("ab", "bc")] == ["deleted", "correct", "inserted"]
    assert align([], []) == [] and align(["a"], []) == [Step("a", None)] and align([], ["a"]) == [Step(None, "a")]


def test_words_of_like_spelling_stand_together():
    """Of alignments with as many edits and as many substitutions."""
    steps = align(["you", "have", "entered", "too", "many"], ["you", "hav", "in", "enterd", "to", "mani"])
    assert [step.kind for step in steps] == ["correct", "substituted", "inserted", *["substituted"] * 3]
    steps = align(["asterisk", "is", "open"], ["an", "assterst", "ising", "pen"])
    assert [step.reference for step in steps] == [None, "asterisk", "is", "open"]
    assert [step.hypothesis for step in align(["abc"], ["abd", "xyz"])] == ["abd", "xyz"]


def test_confusions_of_a_corpus():
    pairs = [("a b c", "a x c"), ("a b", "a x y"), ("b", "")]
    found = count_confusions(align(reference.split(), hypothesis.split()) for reference, hypothesis in pairs)
    assert found.substituted == Counter({("b", "x"): 1, ("b", "y"): 1}) and found.deleted == Counter("b")
    assert found.inserted == Counter("x") and found.correct == 3
    assert most_frequent(Counter({"b": 2, "a": 2, "c": 5}), 2) == [("c", 5), ("a", 2)]
