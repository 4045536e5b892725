"""Pieces to words."""

import pytest

from speecht5_fairseq.scoring.text import has_pieces, pieces_to_words, scored_lines


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


@pytest.mark.parametrize(
    ("references", "hypotheses"),
    [(["ONE <<unk>>WO", "A"], ["ONE <unk>WO", "B"]), (["▁ON E ▁ <<unk>> WO", "▁A"], ["▁ON E ▁ <unk> W O", "▁B"])],
    ids=["words", "pieces"],
)
def test_unknown_symbols_are_single_characters_that_are_never_equal(references, hypotheses):
    assert scored_lines(references, hypotheses) == (["ONE \ue000WO", "A"], ["ONE \ue001WO", "B"])
