"""Codes whose meaning is known: of letters in both modalities, of letters that are not the same, of nothing."""

import math

import numpy as np
import pytest

from speecht5_fairseq.codes.alignment import DTW, EVEN
from speecht5_fairseq.codes.analysis import Book, analyse
from speecht5_fairseq.codes.retrieval import chance

LETTERS, FRAMES = 12, 6  # of conftest
BOOK = Book(2, LETTERS, [chr(ord("A") + letter) for letter in range(LETTERS)])
TOO_FEW = 1e-9


def test_codes_that_mean_the_same_letters(pairs):
    given = pairs(lambda letters: letters)
    found = analyse(given, BOOK, alignment=EVEN, draws=40)
    assert (found.utterances, found.texts) == (25, 25) and found.frames == FRAMES * found.letters
    assert list(found.views) == ["pairs", "group 1", "group 2"]
    for name, view in found.views.items():
        assert view.sharing[:3] == (0, 0, LETTERS) and view.sharing.overlap == pytest.approx(1.0)
        assert view.sharing.possible == (LETTERS**2 if name == "pairs" else LETTERS)
        assert view.agreement[:2] == (LETTERS, LETTERS) and view.agreement.chance < 2
        for told, most in zip((view.speech_bits, view.text_bits), found.letter_bits, strict=True):
            assert told.value == pytest.approx(most) and told.chance < 1 and told.p_value < 0.03
        assert view.transfer.value == 1.0 and view.transfer.chance < 0.3 and view.transfer.p_value < 0.03
        for code, meaning in view.text.items():
            assert meaning.letters == view.speech[code].letters == [(code % LETTERS, 1.0)]
            assert view.speech[code].count == FRAMES * meaning.count
    for name in ("histograms of pairs", "histograms of entries", "mean code vectors"):
        assert found.retrievals[name].first[:3] == (1.0, 1.0, 1.0) and found.retrievals[name].p_value < 0.01
    assert found.retrievals["mean encoder states, centred"].reciprocal.value > 0.6  # the same under noise


def test_codes_of_speech_that_mean_other_letters(pairs):
    """Each code tells its letter, but not the same one in speech as in text."""
    dealt = np.roll(np.arange(LETTERS), 5)
    found = analyse(pairs(lambda letters: dealt[letters]), BOOK, alignment=EVEN, draws=40)
    view = found.views["pairs"]
    assert view.sharing.both == LETTERS and view.agreement.same == 0
    assert view.speech_bits.value == pytest.approx(found.letter_bits[0])
    assert view.transfer.value == 0.0 and view.transfer.p_value == 1.0
    assert found.retrievals["histograms of pairs"].p_value > 0.05
    assert found.retrievals["histograms of pairs"].first.value < 0.2


def test_codes_of_speech_that_mean_nothing(pairs):
    noise = np.random.default_rng(9)
    found = analyse(pairs(lambda letters: noise.integers(LETTERS, size=len(letters))), BOOK, alignment=EVEN, draws=40)
    told = found.views["pairs"].speech_bits
    assert told.value > 0.05 and told.p_value > 0.02 and told.value == pytest.approx(told.chance, rel=0.3)
    for name, result in found.retrievals.items():
        assert name == "lengths alone" or result.p_value > 0.02
    assert found.retrievals["lengths alone"].first.value > 0.15  # all letters are as long as each other


def test_one_code_for_everything_finds_by_chance(pairs):
    found = analyse(pairs(np.zeros_like), BOOK, alignment=EVEN, draws=5)
    result = found.retrievals["histograms of entries, centred"]
    assert (result.first.value, result.top.value, result.reciprocal.value) == pytest.approx(chance(25))
    assert found.views["pairs"].speech_bits.value == pytest.approx(0.0, abs=TOO_FEW)


def test_time_warping_finds_letters_of_uneven_lengths_and_pays_for_it_with_other_texts(pairs):
    given = pairs(lambda letters: letters, even=False)
    even, warped = (analyse(given, BOOK, alignment=name, draws=10).views["pairs"] for name in (EVEN, DTW))
    assert even.speech_bits.value + 0.5 < warped.speech_bits.value
    assert even.speech_bits.chance + 0.2 < warped.speech_bits.chance  # it sees likeness in them too
    assert warped.text_bits == even.text_bits
    assert warped.speech_bits.p_value == pytest.approx(1 / 11)


def test_equal_texts_are_one(pairs):
    given = pairs(lambda letters: letters)
    again = [*given, given[3]._replace(row=25)]
    found = analyse(again, BOOK, alignment=EVEN, draws=2)
    assert (found.utterances, found.texts) == (26, 25)
    assert found.retrievals["histograms of pairs"].first.value == 1.0


def test_one_utterance_finds_its_text_and_has_no_others(pairs):
    given = pairs(lambda letters: letters, count=1)
    found = analyse(given, BOOK, alignment=DTW, draws=5)
    assert math.isnan(found.views["pairs"].speech_bits.chance)
    assert found.views["pairs"].text_bits.chance > 0
    assert found.texts == 1 and math.isnan(found.retrievals["lengths alone"].p_value)
