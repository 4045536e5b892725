"""Codes whose meaning is known: of letters in both modalities, of letters that are not the same, of nothing."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from speecht5_fairseq.codes.alignment import DTW, EVEN
from speecht5_fairseq.codes.analysis import Book, analyse
from speecht5_fairseq.codes.collect import Pair, Side
from speecht5_fairseq.codes.crossing import best_path, cross, same_entries
from speecht5_fairseq.codes.retrieval import chance
from speecht5_fairseq.modules.quantizer import Quantizer

LETTERS, GROUPS, FRAMES = 12, 2, 6
DIM = 2 * LETTERS  # a state: which letter it is, and noise
SYMBOLS = [chr(ord("A") + letter) for letter in range(LETTERS)]
BOOK = Book(GROUPS, LETTERS, SYMBOLS)
TOO_FEW = 1e-9


def quantizer() -> Quantizer:
    """The entry of both groups is the letter."""
    made = Quantizer(
        dim=DIM, groups=GROUPS, entries=LETTERS, mix_probability=0.1, start_temperature=2, end_temperature=1, decay=1
    )
    with torch.no_grad():
        made.projection.weight.zero_()
        for group in range(GROUPS):
            made.projection.weight[group * LETTERS : (group + 1) * LETTERS, :LETTERS] = torch.eye(LETTERS)
    return made


def side(made: Quantizer, letters: np.ndarray, noise: np.random.Generator) -> Side:
    states = np.hstack([np.eye(LETTERS)[letters], 0.15 * noise.standard_normal((len(letters), LETTERS))]).astype(
        np.float32
    )
    codes = made.codes(torch.from_numpy(states))
    vectors = made.vectors(codes).detach().mean(0).numpy()
    return Side(codes.numpy(), vectors, states.mean(0), states)


def pairs(heard_as: Callable[[np.ndarray], np.ndarray], *, count: int = 25, even: bool = True) -> list[Pair]:
    """Speech of ``FRAMES`` a letter, or of 2 to 9, in which letters are heard as others."""
    rng, made = np.random.default_rng(3), quantizer()
    found = []
    for row in range(count):
        text = rng.integers(LETTERS, size=rng.integers(4, 9))
        frames = np.repeat(text, FRAMES if even else rng.integers(2, 10, size=len(text)))
        found.append(Pair(row, text, side(made, heard_as(frames), rng), side(made, text, rng)))
    return found


def test_codes_that_mean_the_same_letters():
    given = pairs(lambda letters: letters)
    found = analyse(given, BOOK, alignment=EVEN, draws=40)
    assert (found.utterances, found.texts) == (25, 25) and found.frames == FRAMES * found.letters
    assert list(found.views) == ["pairs", "group 1", "group 2"]
    for name, view in found.views.items():
        assert view.sharing[:3] == (0, 0, LETTERS) and view.sharing.overlap == pytest.approx(1.0)
        assert view.sharing.possible == (LETTERS**2 if name == "pairs" else LETTERS)
        assert view.agreement[:2] == (LETTERS, LETTERS) and view.agreement.chance < 2
        for told in (view.speech_information, view.text_information):
            assert told.bits == pytest.approx(told.letter_bits) and told.chance < 1 and told.p_value < 0.03
        for code, meaning in view.text.items():
            assert meaning.letters == view.speech[code].letters == [(code % LETTERS, 1.0)]
            assert view.speech[code].count == FRAMES * meaning.count
    for name in ("histograms of pairs", "histograms of entries", "mean code vectors"):
        assert found.retrievals[name].first[:3] == (1.0, 1.0, 1.0) and found.retrievals[name].p_value < 0.01
    assert found.retrievals["mean encoder states, centred"].reciprocal.value > 0.6  # the same under noise


def test_codes_of_speech_that_mean_other_letters():
    """Each code tells its letter, but not the same one in speech as in text."""
    dealt = np.roll(np.arange(LETTERS), 5)
    found = analyse(pairs(lambda letters: dealt[letters]), BOOK, alignment=EVEN, draws=40)
    view = found.views["pairs"]
    assert view.sharing.both == LETTERS and view.agreement.same == 0
    assert view.speech_information.bits == pytest.approx(view.speech_information.letter_bits)
    assert found.retrievals["histograms of pairs"].p_value > 0.05
    assert found.retrievals["histograms of pairs"].first.value < 0.2


def test_codes_of_speech_that_mean_nothing():
    noise = np.random.default_rng(9)
    found = analyse(pairs(lambda letters: noise.integers(LETTERS, size=len(letters))), BOOK, alignment=EVEN, draws=40)
    told = found.views["pairs"].speech_information
    assert told.bits > 0.05 and told.p_value > 0.02 and told.bits == pytest.approx(told.chance, rel=0.3)
    for name, result in found.retrievals.items():
        assert name == "lengths alone" or result.p_value > 0.02
    assert found.retrievals["lengths alone"].first.value > 0.15  # all letters are as long as each other


def test_one_code_for_everything_finds_by_chance():
    found = analyse(pairs(np.zeros_like), BOOK, alignment=EVEN, draws=5)
    result = found.retrievals["histograms of entries, centred"]
    assert (result.first.value, result.top.value, result.reciprocal.value) == pytest.approx(chance(25))
    assert found.views["pairs"].speech_information.bits == pytest.approx(0.0, abs=TOO_FEW)


def test_time_warping_finds_letters_of_uneven_lengths_and_pays_for_it_with_other_texts():
    given = pairs(lambda letters: letters, even=False)
    even, warped = (analyse(given, BOOK, alignment=name, draws=10).views["pairs"] for name in (EVEN, DTW))
    assert even.speech_information.bits + 0.5 < warped.speech_information.bits
    assert even.speech_information.chance + 0.2 < warped.speech_information.chance  # it sees likeness in them too
    assert warped.text_information == even.text_information
    assert warped.speech_information.p_value == pytest.approx(1 / 11)


def test_equal_texts_are_one():
    given = pairs(lambda letters: letters)
    again = [*given, given[3]._replace(row=25)]
    found = analyse(again, BOOK, alignment=EVEN, draws=2)
    assert (found.utterances, found.texts) == (26, 25)
    assert found.retrievals["histograms of pairs"].first.value == 1.0


def test_one_utterance_finds_its_text_and_has_no_others():
    given = pairs(lambda letters: letters, count=1)
    found = analyse(given, BOOK, alignment=DTW, draws=5)
    assert math.isnan(found.views["pairs"].speech_information.chance)
    assert found.views["pairs"].text_information.chance > 0
    assert found.texts == 1 and math.isnan(found.retrievals["lengths alone"].p_value)


def test_speech_against_its_text():
    given = pairs(lambda letters: letters, even=False)
    found = cross(given, 7)
    pair = given[7]
    assert found.codes.shape == found.states.shape == (len(pair.speech.codes), len(pair.letters))
    for frame, place in np.ndindex(found.codes.shape):
        assert found.codes[frame, place] == np.mean(pair.speech.codes[frame] == pair.text.codes[place])
    assert found.on_path == 1.0 > found.others > found.everywhere
    assert found.code_path[0].tolist() == [0, 0]
    assert (np.diff(found.code_path, axis=0) >= 0).all() and (np.diff(found.state_path, axis=0) >= 0).all()
    assert found.code_path[-1].tolist() == [len(pair.speech.codes) - 1, len(pair.letters) - 1]
    weights = [len(each.speech.codes) for each in given]
    mean = np.average([each.speech.states.mean(0) for each in given], axis=0, weights=weights)
    text_mean = np.concatenate([each.text.states for each in given]).mean(0)
    heard, read = pair.speech.states[2] - mean, pair.text.states[1] - text_mean
    expected = heard @ read / np.linalg.norm(heard) / np.linalg.norm(read)
    assert found.states[2, 1] == pytest.approx(expected, abs=1e-5)


def test_half_of_the_groups_agree():
    speech, text = np.array([[1, 2], [3, 4], [5, 6]]), np.array([[1, 9], [3, 4]])
    assert same_entries(speech, text).tolist() == [[0.5, 0.0], [0.0, 1.0], [0.0, 0.0]]
    assert best_path(same_entries(speech, text)).tolist() == [[0, 0], [1, 1], [2, 1]]
