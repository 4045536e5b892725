"""Counts of codes and letters, against loops over them."""

import math
from collections import Counter
from functools import partial

import numpy as np
import pytest

from speecht5_fairseq.codes.tables import (
    Meaning,
    agreement,
    beside_chance,
    code_name,
    entropy,
    meanings,
    most_shared,
    mutual_information,
    possible_codes,
    share_right,
    sharing,
    views,
)


def draw(size, high, seed=0):
    return np.random.default_rng(seed).integers(high, size=size)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_every_code_has_a_name_of_its_own(groups):
    codes = draw((60, groups), 4)
    found = views(codes, 4)
    assert list(found)[1:] == ([f"group {number + 1}" for number in range(groups)] if groups > 1 else [])
    assert next(iter(found)) == {1: "entries", 2: "pairs", 3: "tuples"}[groups]
    for view, numbers in found.items():
        assert numbers.max() < possible_codes(view, groups, 4)
        for row, number in zip(codes, numbers, strict=True):
            names = [str(entry) for entry in row]
            if view.startswith("group"):
                place = int(view.split()[1]) - 1
                names = ["*"] * place + [names[place]] + ["*"] * (groups - place - 1)
            assert code_name(view, int(number), groups, 4) == "-".join(names)


def test_sharing_is_that_of_sets():
    speech, text = draw(200, 12, 1) + 3, draw(50, 30, 2)
    found = sharing(speech, text, 100)
    heard, read = set(speech.tolist()), set(text.tolist())
    assert found[:3] == (len(heard - read), len(read - heard), len(heard & read)) and found.speech_only > 0
    assert found.both_by_chance == pytest.approx(len(heard) * len(read) / 100)
    assert found.speech_share == pytest.approx(np.mean([code in read for code in speech]))
    assert found.text_share == pytest.approx(np.mean([code in heard for code in text]))
    both = [min(np.mean(speech == code), np.mean(text == code)) for code in heard & read]
    assert found.overlap == pytest.approx(sum(both))


def test_by_chance_is_the_mean_over_draws():
    generator = np.random.default_rng(0)
    drawn = [len(np.intersect1d(generator.permutation(40)[:13], generator.permutation(40)[:22])) for _ in range(4000)]
    assert np.mean(drawn) == pytest.approx(sharing(np.arange(13), np.arange(22), 40).both_by_chance, rel=0.02)


def test_nothing_shared():
    assert sharing(np.array([1, 2]), np.array([3]), 10)[2:] == (0, 10, 0.2, 0.0, 0.0, 0.0)


def test_mutual_information_is_that_of_the_definition():
    first, second = draw(300, 5, 1), draw(300, 4, 2)
    second[first == 2] = 1
    expected = 0.0
    for (one, two), count in Counter(zip(first.tolist(), second.tolist(), strict=True)).items():
        expected += count / 300 * math.log2(count * 300 / np.sum(first == one) / np.sum(second == two))
    assert mutual_information(first, second) == pytest.approx(expected)
    assert mutual_information(first, first) == pytest.approx(entropy(first))
    assert mutual_information(first, np.zeros(300, dtype=np.int64)) == 0.0


def test_a_statistic_beside_chance():
    letters = draw(400, 6, 1)
    others = [np.random.default_rng(seed).permutation(letters) for seed in range(99)]
    untold = draw(400, 40, 2)
    statistics = {"told": partial(mutual_information, letters * 10), "untold": partial(mutual_information, untold)}
    found = beside_chance(statistics, letters, iter(others))
    assert found["told"].value == pytest.approx(entropy(letters)) and found["told"].p_value == 0.01
    assert found["untold"].value > 0.2 and found["untold"].p_value > 0.05  # few counts: bits of chance alone
    assert found["untold"].chance == pytest.approx(np.mean([mutual_information(untold, other) for other in others]))
    alone = beside_chance(statistics, letters, [])["told"]
    assert alone.value == found["told"].value and math.isnan(alone.chance) and math.isnan(alone.p_value)


def test_letters_that_codes_mean_elsewhere():
    codes, letters = draw(300, 9, 1), draw(300, 4, 2)
    meant = {code: Meaning(1, [(code % 4, 1.0)]) for code in range(6)}
    known = [(code, letter) for code, letter in zip(codes.tolist(), letters.tolist(), strict=True) if code < 6]
    assert share_right(codes, meant, letters) == pytest.approx(np.mean([code % 4 == letter for code, letter in known]))
    assert share_right(codes, meant, codes % 4) == 1.0
    assert share_right(codes, {}, letters) == 0.0


def test_meanings_are_counts():
    codes, letters = draw(300, 8, 1) * 2, draw(300, 5, 2)
    found = meanings(codes, letters)
    assert found.keys() == set(codes.tolist())
    for code, meaning in found.items():
        counted = Counter(letters[codes == code].tolist())
        expected = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
        total = sum(counted.values())
        assert meaning == Meaning(total, [(letter, count / total) for letter, count in expected])


def side(**letters):
    return {int(code[1:]): Meaning(count, [(letter, 1.0)]) for code, (letter, count) in letters.items()}


def test_agreement_against_letters_dealt_anew():
    speech, text = side(c1=(4, 10), c2=(5, 10), c3=(6, 10), c9=(4, 1)), side(c1=(4, 5), c2=(5, 5), c3=(7, 5), c8=(1, 1))
    found = agreement(speech, text)
    assert found[:2] == (2, 3)
    assert found.chance == pytest.approx(2 / 3, abs=0.05)  # each of the two letters meets its code in a third
    assert found.p_value == pytest.approx(1 / 6, abs=0.05)  # one order of six has both
    same = {code: Meaning(5, [(4, 1.0)]) for code in range(9)}
    assert agreement(same, same)[:4] == (9, 9, 9.0, 1.0)  # one letter everywhere says nothing
    assert math.isnan(agreement(speech, side(c1=(4, 1))).chance)


def test_the_most_shared_code_has_the_larger_of_the_smaller_shares():
    speech, text = side(c1=(4, 80), c2=(4, 10), c3=(4, 10)), side(c1=(4, 1), c2=(4, 2), c3=(4, 6), c4=(4, 1))
    assert list(most_shared(speech, text)) == [1, 2, 3]
    assert list(most_shared(speech, side(c3=(4, 9), c1=(4, 1)))) == [1, 3]
