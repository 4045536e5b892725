"""Written text to spoken text."""

import builtins

import pytest

from manifest_tools import text
from manifest_tools.text import find_normaliser, normalise, register_normaliser


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [
        ("en", "Don\u2019t  \u201cPress\u201d, please!", "don't press please"),
        ("en", "press * then #; see asterisk.org & a.m.", "press star then pound see asterisk dot org and a m"),
        (
            "fr",
            "L\u2019\u00e9t\u00e9, \u00e7\u00e0 et l\u00e0 : \u00ab o\u00f9 ? \u00bb",
            "l'\u00e9t\u00e9 \u00e7\u00e0 et l\u00e0 o\u00f9",
        ),
        ("es", "\u00bfMa\u00f1ana? \u00a1S\u00ed!", "ma\u00f1ana s\u00ed"),
        ("en", "cafe\u0301", "caf\u00e9"),  # a combining accent becomes the letter that text normally has
        ("en", "'quoted' rock 'n' roll", "quoted rock n roll"),
        ("en", "... -- !", ""),
    ],
)
def test_punctuation_goes_and_letters_stay(language, written, spoken):
    assert normalise(written, language) == spoken


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [
        ("en", "dial 500", "dial five hundred"),
        ("en", "1,200,000 lines", "one million two hundred thousand lines"),
        ("en", "28.8 kilobits", "twenty eight point eight kilobits"),
        ("en", "the 21st day", "the twenty first day"),
        ("en", "agent 007", "agent zero zero seven"),
        ("en", "3D", "three d"),
        ("fr", "71", "soixante et onze"),
        ("fr", "1\u202f200", "mille deux cents"),
        ("fr", "3,5", "trois virgule cinq"),
        ("es", "1.200", "mil doscientos"),
        ("es", "21", "veintiuno"),
    ],
)
def test_numbers_become_words(language, written, spoken):
    pytest.importorskip("num2words")
    assert normalise(written, language) == spoken


def test_without_num2words_only_digits_are_an_error(monkeypatch):
    real = builtins.__import__

    def missing(name, *arguments, **keywords):
        if name == "num2words":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert normalise("no number", "en") == "no number"
    with pytest.raises(ImportError, match="pip install num2words"):
        normalise("1 number", "en")


def test_languages_are_pluggable(monkeypatch):
    monkeypatch.setattr(text, "_NORMALISERS", {})
    with pytest.raises(ValueError, match="choose one of en, es, fr, none"):
        normalise("Hallo", "de")
    register_normaliser("de", str.lower)
    assert normalise("HALLO", "de") == "hallo"
    assert find_normaliser("os.path:basename")("a/b") == "b"
    assert normalise(" As  IS, 5 ", "none") == "As IS, 5"
    with pytest.raises(ValueError, match="no function 'absent'"):
        find_normaliser("os.path:absent")
    with pytest.raises(ValueError, match="cannot import"):
        find_normaliser("no_such_module:function")


def test_text_is_a_fixed_point():
    assert normalise(normalise("It\u2019s 5 o'clock.", "en"), "en") == "it's five o'clock"
