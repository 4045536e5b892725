"""Pieces to words."""

import pytest

from speecht5_fairseq.scoring.text import has_pieces, pieces_to_words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("▁SPEE CH ▁TO ▁ T E X T", "SPEECH TO TEXT"),
        ("S ▁A", "S A"),
        ("▁ ▁ A", "A"),
        ("", ""),
        ("▁ ▁", ""),
    ],
)
def test_pieces_to_words(line, words):
    assert pieces_to_words(line) == words


def test_has_pieces():
    assert has_pieces(["A B", "▁A"])
    assert not has_pieces(["A B", ""])
