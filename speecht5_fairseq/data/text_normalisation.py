"""From written to spoken text: lower case, numbers and symbols as words, no punctuation.

`normalise(text, language)` knows a table of spoken forms for some languages, and reads numbers in every language that
num2words has; `en+abbreviations` spells out the commonest abbreviations besides. A language is added, or replaced, by
registering a function: `register_normaliser("de", my_function)`, or in an option by naming one as `module:function`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from .errors import DataError
from .plugin import load_function
from .text_abbreviations import ABBREVIATIONS
from .text_amounts import CURRENCIES, spell_amounts

Normaliser = Callable[[str], str]

NO_NORMALISER = "none"  # the text as it is written, its spaces collapsed
ABBREVIATIONS_SUFFIX = "+abbreviations"  # `en+abbreviations`: English, with its abbreviations spelt out

_APOSTROPHES = str.maketrans({mark: "'" for mark in "\u2018\u2019\u02bc\u2032\u00b4\u0060"})


@dataclass(frozen=True)
class SpokenForms:
    """How one language reads what is not a letter.

    number_language: the name num2words has for the language.
    symbols: character -> words; a character without an entry is dropped as punctuation.
    dot: the word between the parts of a web address.
    thousands: characters that group digits by three (they never mean a decimal point when three digits follow).
    scales: words between the number and the name of the money, as a regular expression ("$2.5 million").
    ordinal: suffixes that turn the digits before them into an ordinal number, as a regular expression (NFKC: º is o).
    abbreviations: lower-case abbreviation, with its dot -> words; read only where they are asked for.
    """

    number_language: str
    symbols: Mapping[str, str] = field(default_factory=dict)
    dot: str = ""
    thousands: str = ""
    scales: str = ""
    ordinal: str = ""
    abbreviations: Mapping[str, str] = field(default_factory=dict)


SPOKEN_FORMS: dict[str, SpokenForms] = {
    "en": SpokenForms(
        "en",
        {"*": "star", "#": "pound", "&": "and", "@": "at", "%": "percent", "+": "plus", "=": "equals", "$": "dollars"},
        dot="dot",
        thousands=",",
        scales="hundred|thousand|million|billion|trillion",
        ordinal="st|nd|rd|th",
        abbreviations=ABBREVIATIONS["en"],
    ),
    "fr": SpokenForms(
        "fr",
        {"*": "étoile", "#": "dièse", "&": "et", "@": "arobas", "%": "pour cent", "+": "plus", "=": "égal"},
        dot="point",
        thousands="\u00a0\u202f",
        ordinal="er|re|e|ème",
        abbreviations=ABBREVIATIONS["fr"],
    ),
    "es": SpokenForms(
        "es",
        {"*": "asterisco", "#": "número", "&": "y", "@": "arroba", "%": "por ciento", "+": "más", "=": "igual"},
        dot="punto",
        thousands=".",
        ordinal="o|a",
        abbreviations=ABBREVIATIONS["es"],
    ),
}

# How languages without a table group the digits of 1 000 000; those in neither set use spaces that do not break
_DOT_GROUPS = frozenset(("az", "ca", "da", "de", "id", "it", "nl", "pt", "ro", "sl", "sr", "tr", "vi"))
_COMMA_GROUPS = frozenset(("am", "ar", "bn", "he", "ja", "kn", "ko", "te", "th"))
_SPACE_GROUPS = "\u00a0\u202f"


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
        if "." in digits:
            return _decimal_to_words(digits, partial(to_words, lang=language))
        return to_words(int(digits), lang=language, to="ordinal" if ordinal else "cardinal")
    except (NotImplementedError, OverflowError, LookupError) as error:  # the language, or so large a number
        raise ValueError(
            f"num2words cannot read the number {digits!r} in language {language!r}: write it out, or register a "
            "normaliser for the language"
        ) from error


def _decimal_to_words(digits: str, say: Callable[[float], str]) -> str:
    """Words of "3.10", its last zero among them where the language reads decimals digit by digit: a float has none."""
    whole, _, decimals = digits.partition(".")
    start, example, end = f"{say(0)} ", say(0.55), f" {say(5)} {say(5)}"
    if not (example.startswith(start) and example.endswith(end)):  # fifty-five hundredths, or words without spaces
        return say(float(digits))
    point = example.removeprefix(start).removesuffix(end)
    return " ".join((say(int(whole)), point, *(say(int(digit)) for digit in decimals)))


def _spell_numbers(text: str, forms: SpokenForms) -> str:
    """Digits as words; a comma between digits is a decimal point, for the thousands are joined already."""
    pattern = rf"(\d+(?:[.,]\d+)?)(?:({forms.ordinal or '(?!)'})\b)?"

    def spoken(match: re.Match[str]) -> str:
        digits = match[1].replace(",", ".")
        ordinal = bool(match[2]) and "." not in digits
        words = number_to_words(digits, forms.number_language, ordinal=ordinal)
        return f" {words.lower()} "  # German's "Komma"

    return re.sub(pattern, spoken, text)


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


def _spell_abbreviations(text: str, forms: SpokenForms) -> str:
    """Lower-case `text` with the table's abbreviations as words. ValueError for a language without such a table."""
    if not forms.abbreviations:
        choices = ", ".join(f"{language}{ABBREVIATIONS_SUFFIX}" for language in ABBREVIATIONS)
        raise ValueError(
            f"normaliser {forms.number_language}{ABBREVIATIONS_SUFFIX}: no abbreviations are known in this language; "
            f"choose one of {choices}, or leave {ABBREVIATIONS_SUFFIX} out"
        )
    longest_first = sorted(forms.abbreviations, key=len, reverse=True)
    pattern = rf"(?<![\w.'])(?:{'|'.join(map(re.escape, longest_first))})(?!\w)"
    return re.sub(pattern, lambda match: f" {forms.abbreviations[match[0]]} ", text)


def _spell_amounts(text: str, forms: SpokenForms) -> str:
    """Amounts of money as words. ImportError tells the mend where num2words is missing."""
    if not any(sign in text for sign in CURRENCIES) or not re.search(r"\d", text):
        return text
    return spell_amounts(text, forms.number_language, _num2words(), scales=forms.scales).lower()


def keep_letters(text: str) -> str:
    """Letters (with their accents) and apostrophes inside words; everything else becomes one space."""
    kept = "".join(char if char == "'" or unicodedata.category(char)[0] in "LM" else " " for char in text)
    words = (word.strip("'") for word in kept.split())
    return " ".join(word for word in words if word)


def collapse_spaces(text: str) -> str:
    """`text` with single spaces, otherwise as it is."""
    return " ".join(text.split())


def normalise_with(text: str, forms: SpokenForms, *, abbreviations: bool = False) -> str:
    """`text` as it is spoken, by the table `forms`. Digits need num2words (ImportError tells the mend).

    abbreviations: spell out those of the table; ValueError where it has none.
    """
    text = _join_thousands(text.translate(_APOSTROPHES), forms)  # before NFKC, which makes every space plain
    text = unicodedata.normalize("NFKC", text).lower()
    if abbreviations:
        text = _spell_abbreviations(text, forms)
    return keep_letters(_spell_numbers(_read_symbols(_spell_amounts(text, forms), forms), forms))


_NORMALISERS: dict[str, Normaliser] = {}


def register_normaliser(language: str, function: Normaliser) -> None:
    """Make `normalise(text, language)` call `function`, in place of the table's rules if there are any."""
    _NORMALISERS[language] = function


def spoken_forms(language: str) -> SpokenForms | None:
    """The forms of a language code: its table, or num2words' numbers alone; None for a code that neither knows.

    `pt-BR` and `pt_BR` are one code; a region without forms of its own has its language's.
    """
    code = language.replace("-", "_").lower()
    base = code.partition("_")[0]
    if code in SPOKEN_FORMS:
        return SPOKEN_FORMS[code]
    known = {name.lower(): name for name in _number_languages()}
    if base in SPOKEN_FORMS:
        return replace(SPOKEN_FORMS[base], number_language=known.get(code, SPOKEN_FORMS[base].number_language))
    number_language = known.get(code) or known.get(base)
    if number_language is None:
        return None
    thousands = "." if base in _DOT_GROUPS else "," if base in _COMMA_GROUPS else _SPACE_GROUPS
    return SpokenForms(number_language, thousands=thousands)


def _number_languages() -> Sequence[str]:
    """The codes num2words has; none where it is not installed."""
    try:
        from num2words import CONVERTER_CLASSES
    except ImportError:
        return ()
    return tuple(CONVERTER_CLASSES)


def find_normaliser(name: str) -> Normaliser:
    """The function of a language code, perhaps with `+abbreviations`; of "none" (spaces are collapsed, no more); or
    of `module:function`. Functions found here can be pickled, so that they cross to worker processes.

    Raises ValueError with the choices for a name that is none of these, or `+abbreviations` where none are known.
    """
    if name in _NORMALISERS:
        return _NORMALISERS[name]
    if name == NO_NORMALISER:
        return collapse_spaces
    if ":" in name:
        return load_function(name, "normaliser")
    language = name.removesuffix(ABBREVIATIONS_SUFFIX)
    forms, abbreviations = spoken_forms(language), language != name
    if forms is None:
        choices = ", ".join(sorted({*_NORMALISERS, *SPOKEN_FORMS, NO_NORMALISER}))
        others = ", ".join(_number_languages()) or "more with num2words (`pip install num2words`)"
        raise ValueError(
            f"no normaliser {name!r}: choose one of {choices}, or name a function as module:function; numbers, but no "
            f"symbols, are read in {others}"
        )
    if abbreviations:
        _spell_abbreviations("", forms)  # a language without them is refused here, not at the first text
    return partial(normalise_with, forms=forms, abbreviations=abbreviations)


def travelled_normaliser(given: str | None, saved: str | None, checkpoint: object) -> str:
    """The normaliser of a model: what the user gives in this call, else that of its training, else "none".

    A checkpoint may name what is registered here, a language say. It may not name a function: that would be imported
    and called, and nothing of a checkpoint is run.

    Args:
        given: a name, or `module:function`.
        saved: as the checkpoint has it.
        checkpoint: says which, in errors.

    Raises:
        DataError: the checkpoint names a function, and nothing was given in its place.
    """
    if given or not saved:
        return given or NO_NORMALISER
    if not isinstance(saved, str) or (":" in saved and saved not in _NORMALISERS):
        raise DataError(
            f"{checkpoint}: its text_normaliser is {saved!r}, a function, and what a checkpoint names is not run. If "
            f"you know the function, give it yourself: --text-normaliser {saved}; or another, `en` or `none` say"
        )
    return saved


def normalise(text: str, language: str) -> str:
    """`text` as it is spoken in `language`; the empty string when nothing in it is spoken."""
    return find_normaliser(language)(text)
