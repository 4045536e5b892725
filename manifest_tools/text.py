"""From written to spoken text: lower case, numbers and symbols as words, no punctuation.

`normalise(text, language)` looks the language up in a table, so a language is added by registering a function:
`register_normaliser("de", my_function)`, or on a command line by naming one as `module:function`.
"""

from __future__ import annotations

import importlib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Normaliser = Callable[[str], str]

_APOSTROPHES = str.maketrans({mark: "'" for mark in "\u2018\u2019\u02bc\u2032\u00b4\u0060"})


@dataclass(frozen=True)
class SpokenForms:
    """How one language reads what is not a letter.

    number_language: the name num2words has for the language.
    symbols: character -> words; a character without an entry is dropped as punctuation.
    dot: the word between the parts of a web address.
    thousands: characters that group digits by three (they never mean a decimal point when three digits follow).
    ordinal: suffixes that turn the digits before them into an ordinal number, as a regular expression (NFKC: º is o).
    """

    number_language: str
    symbols: Mapping[str, str] = field(default_factory=dict)
    dot: str = ""
    thousands: str = ""
    ordinal: str = ""


SPOKEN_FORMS: dict[str, SpokenForms] = {
    "en": SpokenForms(
        "en",
        {"*": "star", "#": "pound", "&": "and", "@": "at", "%": "percent", "+": "plus", "=": "equals", "$": "dollars"},
        dot="dot",
        thousands=",",
        ordinal="st|nd|rd|th",
    ),
    "fr": SpokenForms(
        "fr",
        {"*": "étoile", "#": "dièse", "&": "et", "@": "arobas", "%": "pour cent", "+": "plus", "=": "égal"},
        dot="point",
        thousands="\u00a0\u202f",
        ordinal="er|re|e|ème",
    ),
    "es": SpokenForms(
        "es",
        {"*": "asterisco", "#": "número", "&": "y", "@": "arroba", "%": "por ciento", "+": "más", "=": "igual"},
        dot="punto",
        thousands=".",
        ordinal="o|a",
    ),
}


def _num2words() -> Callable[..., str]:
    try:
        from num2words import num2words
    except ImportError as error:
        raise ImportError(
            "the text holds digits and num2words, which turns them into words, is not installed: "
            "`pip install num2words`, or write the numbers out"
        ) from error
    return num2words


def number_to_words(digits: str, language: str, *, ordinal: bool = False) -> str:
    """Words of one number. A leading zero means a code, read digit by digit ("007" -> "zero zero seven").

    digits: ASCII digits with at most one "." before the decimals.
    Raises ImportError without num2words, ValueError for a language that num2words does not know.
    """
    to_words = _num2words()
    try:
        if len(digits) > 1 and digits[0] == "0" and digits.isdigit():
            return " ".join(to_words(int(digit), lang=language) for digit in digits)
        value = float(digits) if "." in digits else int(digits)
        return to_words(value, lang=language, to="ordinal" if ordinal else "cardinal")
    except NotImplementedError as error:
        raise ValueError(
            f"num2words cannot read the number {digits!r} in language {language!r}: write it out, or register a "
            "normaliser for the language"
        ) from error


def _spell_numbers(text: str, forms: SpokenForms) -> str:
    """Digits as words; a comma between digits is a decimal point, for the thousands are joined already."""
    pattern = rf"(\d+(?:[.,]\d+)?)(?:({forms.ordinal or '(?!)'})\b)?"

    def words(match: re.Match[str]) -> str:
        digits = match[1].replace(",", ".")
        ordinal = bool(match[2]) and "." not in digits
        return f" {number_to_words(digits, forms.number_language, ordinal=ordinal)} "

    return re.sub(pattern, words, text)


def _join_thousands(text: str, forms: SpokenForms) -> str:
    """1,000,000 -> 1000000: a group mark has one to three digits before it and exactly three behind."""
    if not forms.thousands:
        return text
    return re.sub(rf"(?<=\d)(?<!\d{{4}})[{re.escape(forms.thousands)}](?=\d{{3}}(?!\d))", "", text)


def _read_symbols(text: str, forms: SpokenForms) -> str:
    if forms.dot:  # asterisk.org, but not the abbreviation a.m.
        text = re.sub(r"(?<=[^\W\d_]{2})\.(?=[^\W\d_]{2})", f" {forms.dot} ", text)
    for symbol, words in forms.symbols.items():
        text = text.replace(symbol, f" {words} ")
    return text


def keep_letters(text: str) -> str:
    """Letters (with their accents) and apostrophes inside words; everything else becomes one space."""
    kept = "".join(char if char == "'" or unicodedata.category(char)[0] in "LM" else " " for char in text)
    words = (word.strip("'") for word in kept.split())
    return " ".join(word for word in words if word)


def normalise_with(text: str, forms: SpokenForms) -> str:
    """`text` as it is spoken, by the table `forms`. Digits need num2words (ImportError tells the mend)."""
    text = _join_thousands(text.translate(_APOSTROPHES), forms)  # before NFKC, which makes every space plain
    text = unicodedata.normalize("NFKC", text).lower()
    return keep_letters(_spell_numbers(_read_symbols(text, forms), forms))


_NORMALISERS: dict[str, Normaliser] = {}


def register_normaliser(language: str, function: Normaliser) -> None:
    """Make `normalise(text, language)` call `function`, in place of the table's rules if there are any."""
    _NORMALISERS[language] = function


def find_normaliser(name: str) -> Normaliser:
    """The function for a language code, for "none" (only spaces are collapsed), or for `module:function`.

    Raises ValueError with the choices for a name that is none of these.
    """
    if name in _NORMALISERS:
        return _NORMALISERS[name]
    if name in SPOKEN_FORMS:
        return lambda text: normalise_with(text, SPOKEN_FORMS[name])
    if name == "none":
        return lambda text: " ".join(text.split())
    if ":" in name:
        return load_function(name, "normaliser")
    choices = ", ".join(sorted({*_NORMALISERS, *SPOKEN_FORMS, "none"}))
    raise ValueError(f"no normaliser {name!r}: choose one of {choices}, or name a function as module:function")


def normalise(text: str, language: str) -> str:
    """`text` as it is spoken in `language`; the empty string when nothing in it is spoken."""
    return find_normaliser(language)(text)


def load_function(name: str, purpose: str) -> Callable:
    """The object that `module:function` names. Raises ValueError saying which half is wrong."""
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"{purpose} {name!r}: cannot import {module_name!r} ({error}); check PYTHONPATH") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"{purpose} {name!r}: {module_name!r} has no function {function_name!r}")
    return function
