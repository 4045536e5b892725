"""Written text to spoken text."""

import builtins
import pickle

import pytest

from speecht5_fairseq.data import text_normalisation
from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.data.text_normalisation import (
    find_normaliser,
    normalise,
    register_normaliser,
    travelled_normaliser,
)


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
        ("en", "3.10 and 1.05 and 2.0", "three point one zero and one point zero five and two point zero"),
        ("de", "3,10", "drei komma eins null"),
        ("ru", "3,10", "три целых одна десятая"),  # read as a number: three wholes, one tenth
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
    with pytest.raises(ValueError, match="no normaliser 'de'.*more with num2words"):
        normalise("Hallo", "de")
    with pytest.raises(ImportError, match="pip install num2words"):
        normalise("1 number", "en")


def test_languages_are_pluggable(monkeypatch):
    monkeypatch.setattr(text_normalisation, "_NORMALISERS", {})
    with pytest.raises(ValueError, match="no normaliser 'xx': choose one of en, es, fr, none.*numbers, but no symbols"):
        normalise("Hallo", "xx")
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


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [
        ("de", "Ab 3,5 und 1.200 Mark!", "ab drei komma fünf und eintausendzweihundert mark"),
        ("ja", "1,200円。", "千二百 円"),
        ("pl", "1\u00a0200 z\u0142", "tysiąc dwieście z\u0142"),
        ("pt-BR", "20 reais", "vinte reais"),
        ("en_IN", "100,000", "one lakh"),
        ("en-GB", "5%", "five percent"),
        ("de-AT", "21", "einundzwanzig"),
    ],
)
def test_numbers_of_every_language_of_num2words(language, written, spoken):
    pytest.importorskip("num2words")
    assert normalise(written, language) == spoken


@pytest.mark.parametrize(
    ("language", "written", "plain", "spelt"),
    [
        ("en", "Mr. Smith vs. Dr Who, etc.", "mr smith vs dr who etc", "mister smith versus doctor who et cetera"),
        ("en", "Drive on, e.g. e.g.x", "drive on e g e g x", "drive on for example e g x"),
        ("fr", "M. Dupont et Mme Martin", "m dupont et mme martin", "monsieur dupont et madame martin"),
        ("es", "la Sra. Gil, p. ej.", "la sra gil p ej", "la señora gil por ejemplo"),
    ],
)
def test_abbreviations_are_spelt_out_when_asked_for(language, written, plain, spelt):
    assert normalise(written, language) == plain
    assert normalise(written, f"{language}+abbreviations") == spelt


def test_abbreviations_of_other_languages_are_refused():
    pytest.importorskip("num2words")
    with pytest.raises(ValueError, match=r"de\+abbreviations: no abbreviations.*choose one of en\+abbreviations"):
        find_normaliser("de+abbreviations")


def test_a_number_too_long_for_words_is_an_error():
    pytest.importorskip("num2words")
    with pytest.raises(ValueError, match="cannot read the number"):
        normalise("1" * 400, "en")


@pytest.mark.parametrize("name", ["none", "en", "fr+abbreviations", "os.path:basename"])
def test_normalisers_cross_to_worker_processes(name):
    function = find_normaliser(name)
    assert pickle.loads(pickle.dumps(function))("a/M. B") == function("a/M. B")


def test_a_normaliser_travels_by_its_name_and_functions_do_not():
    assert travelled_normaliser(None, None, "a.pt") == travelled_normaliser(None, "none", "a.pt") == "none"
    assert travelled_normaliser(None, "en+abbreviations", "a.pt") == "en+abbreviations"
    assert travelled_normaliser("fr", "en", "a.pt") == "fr"
    assert travelled_normaliser("helpers:shout", "subprocess:getoutput", "a.pt") == "helpers:shout"
    for saved in ("subprocess:getoutput", "helpers:shout", ":", 3):
        with pytest.raises(DataError, match=r"^a\.pt: its text_normaliser is .*, a function, .* not run.*--text-norm"):
            travelled_normaliser(None, saved, "a.pt")


def test_a_name_that_is_registered_here_travels_whatever_it_looks_like(monkeypatch):
    monkeypatch.setitem(text_normalisation._NORMALISERS, "our:rules", str.upper)
    assert travelled_normaliser(None, "our:rules", "a.pt") == "our:rules"
