"""Amounts of money as words."""

import pytest

from speecht5_fairseq.data.text_normalisation import normalise

pytest.importorskip("num2words")


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [
        ("en", "costs $2.50, or $1,000.", "costs two dollars fifty cents or one thousand dollars"),
        ("en", "$2.00 and $1", "two dollars and one dollar"),
        ("en", "$2.5 million", "two point five million dollars"),
        ("fr", "2,50 €", "deux euros cinquante centimes"),
        ("fr", "1\u202f000 €", "mille euros"),
        ("es", "1.000,50 €", "mil euros cincuenta céntimos"),
        ("de", "€5", "fünf euro"),
    ],
)
def test_amounts_are_said_as_the_language_says_money(language, written, spoken):
    assert normalise(written, language) == spoken


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [
        ("en", "the $ sign", "the dollars sign"),
        ("en", "$2.505", "dollars two point five zero five"),  # a rate, no amount
        ("en", "9$5", "nine dollars five"),
        ("en", "¥500", "five hundred"),  # num2words has no English yen
        ("th", "$5", "ห้า"),  # and no Thai that is written in two parts
    ],
)
def test_what_is_no_amount_stays_symbols_and_numbers(language, written, spoken):
    assert normalise(written, language) == spoken


def test_an_amount_too_long_for_words_is_named():
    with pytest.raises(ValueError, match="num2words cannot read the number '1000"):
        normalise("$1" + "0" * 400, "en")
