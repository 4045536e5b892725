"""What the pictures show; that they are drawn is tested with the command."""

import numpy as np

from speecht5_fairseq.codes import pictures
from speecht5_fairseq.codes.pictures import common_letters, letter_shares
from speecht5_fairseq.codes.tables import Meaning

SPEECH = {3: Meaning(10, [(7, 0.6), (5, 0.4)]), 8: Meaning(4, [(6, 1.0)]), 9: Meaning(1, [(2, 1.0)])}
TEXT = {3: Meaning(5, [(7, 1.0)]), 8: Meaning(4, [(5, 0.75), (9, 0.25)])}


def test_letters_of_the_codes_that_are_shown(monkeypatch):
    assert common_letters([3, 8], SPEECH, TEXT) == [5, 6, 7, 9]  # letter 2 is of another code
    monkeypatch.setattr(pictures, "MOST_LETTERS", 2)
    assert common_letters([3, 8], SPEECH, TEXT) == [5, 7]  # of 1.15 and 1.6; 6 has 1


def test_shares_by_code_and_letter():
    assert np.array_equal(letter_shares([8, 3], TEXT, [5, 7, 9]), [[0.75, 0.0, 0.25], [0.0, 1.0, 0.0]])
