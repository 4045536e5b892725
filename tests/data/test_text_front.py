"""Long texts: sentences, and pieces of sentences under a limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speecht5_fairseq.data.text_front import pack_sentences, split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four\u2026 Five", ["One.", "Two!", "Three?", "Four\u2026", "Five"]),
        ("It is 3.5 km. Yes, 1,000.25.", ["It is 3.5 km.", "Yes, 1,000.25."]),
        ("Mr. Smith met Dr. J. R. Who. He left.", ["Mr. Smith met Dr. J. R. Who.", "He left."]),
        ("Take fruit, e.g. Apples, i.e. food. Go!", ["Take fruit, e.g. Apples, i.e. food.", "Go!"]),
        ("At 5 p.m. we left. At 6 p.m. They ate.", ["At 5 p.m. we left.", "At 6 p.m.", "They ate."]),
        ("Pens, ink, etc. were sold. Pens, etc. Then", ["Pens, ink, etc. were sold.", "Pens, etc.", "Then"]),
        ("The U.S. Army came. It was I. So", ["The U.S. Army came.", "It was I.", "So"]),
        ("See www.example.org/a.html now. ok. fine", ["See www.example.org/a.html now.", "ok.", "fine"]),
        ('"Stop!" he said. (Really?) "Yes." She', ['"Stop!" he said.', "(Really?)", '"Yes."', "She"]),
        ("1. Take it. 2. Go.", ["1. Take it.", "2. Go."]),
        ("See no. 5. I say no. Then", ["See no. 5.", "I say no.", "Then"]),
        ("On Nov. 3. In Nov. Then", ["On Nov. 3.", "In Nov.", "Then"]),
        ("Wait?! What... now", ["Wait?!", "What...", "now"]),
        ("A title\n\nA text\nof two lines", ["A title", "A text of two lines"]),
        (
            "\u4f60\u597d\u3002\u4f60\u597d\u5417\uff1f\u300c\u597d\uff01\u300d\u518d\u89c1",
            ["\u4f60\u597d\u3002", "\u4f60\u597d\u5417\uff1f", "\u300c\u597d\uff01\u300d", "\u518d\u89c1"],
        ),
        ("\u0939\u093e\u0901\u0964 \u0939\u0948", ["\u0939\u093e\u0901\u0964", "\u0939\u0948"]),
        ("...", ["..."]),
        (" \n\n ", []),
    ],
)  # fmt: skip
def test_sentences(text, sentences):
    assert split_sentences(text) == sentences


def test_packing_is_greedy():
    assert pack_sentences(["A b.", "C d.", "E f."], len, 9) == ["A b. C d.", "E f."]
    assert pack_sentences(["A b.", "C d.", "E f."], len, 8) == ["A b.", "C d.", "E f."]
    assert pack_sentences(["\u4f60\u597d\u3002", "\u518d\u89c1\u3002"], len, 6) == [
        "\u4f60\u597d\u3002\u518d\u89c1\u3002"
    ]


def test_long_sentences_are_cut_at_commas_then_spaces_then_anywhere():
    assert pack_sentences(["one two, three four; five"], len, 12) == ["one two,", "three four;", "five"]
    assert pack_sentences(["one two three, four"], len, 8) == ["one two", "three,", "four"]
    assert pack_sentences(["x", "abcdefghij, k"], len, 4) == ["x", "abcd", "efgh", "ij,", "k"]
    assert pack_sentences(["1,000"], len, 5) == ["1,000"]
    assert pack_sentences(["ae\u0301e\u0301"], len, 3) == ["ae\u0301", "e\u0301"]  # an accent stays with its letter
    assert pack_sentences([], len, 4) == pack_sentences(["", " "], len, 4) == []


def test_limits_that_nothing_fits_are_errors():
    with pytest.raises(ValueError, match="limit of a piece is 0 symbols; give at least 1"):
        pack_sentences(["a"], len, 0)
    with pytest.raises(ValueError, match="character 'b' alone has 9 symbols, over the limit of 4; raise"):
        pack_sentences(["ab"], lambda text: 9 * text.count("b") + len(text.replace("b", "")), 4)


TEXTS = st.text(
    alphabet=st.sampled_from("ab\u00e9e\u0301\u4f60 \n.,;!?\u2026\u3002\uff0c\"')3I"), max_size=80
) | st.text(max_size=60)


@given(TEXTS)
def test_no_letter_is_lost_in_sentences(text):
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence == " ".join(sentence.split()) != "" for sentence in sentences)


@given(TEXTS, st.integers(1, 30))
def test_no_letter_is_lost_in_pieces_and_none_is_over_the_limit(text, limit):
    sentences = split_sentences(text)
    pieces = pack_sentences(sentences, len, limit)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(0 < len(piece) <= limit for piece in pieces)
    if all(len(word) <= limit for word in text.split()) and text.isascii():
        assert " ".join(pieces).split() == " ".join(sentences).split()
