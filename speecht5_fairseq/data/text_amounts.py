"""Amounts of money as they are spoken: "$2.50" is "two dollars fifty cents". The words are num2words'."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

CURRENCIES = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}

_SIGN = f"[{''.join(CURRENCIES)}]"
_NUMBER = r"\d+(?:[.,]\d+)?(?![.,]?\d)"
_BETWEEN = "\x1f"  # num2words is asked to write this between the whole and the parts: no text has it
_NO_WORDS = (NotImplementedError, TypeError, LookupError, ArithmeticError)  # TypeError: Thai takes no separator


def spell_amounts(text: str, language: str, to_words: Callable[..., str], *, scales: str = "") -> str:
    """`text` with "$5", "5 €" and "€2,50" as words; what num2words has no words for stays as it is written.

    Args:
        text: its thousands joined: a comma is a decimal point.
        language: num2words' name of it.
        to_words: `num2words.num2words`.
        scales: words that stand between the number and the name of the money, as a regular expression:
            "$2.5 million" becomes "2.5 million dollars".
    """
    before = rf"(?<!\w)(?P<sign>{_SIGN})\s?(?P<number>{_NUMBER})(?:\s+(?P<scale>{scales or '(?!)'})\b)?"
    behind = rf"(?<![\w.,])(?P<number>{_NUMBER})\s?(?P<sign>{_SIGN})(?!\w)"

    def spoken(match: re.Match[str]) -> str:
        fields = match.groupdict()
        whole, _, parts = fields["number"].replace(",", ".").partition(".")

        def amount(number: str) -> list[str]:
            currency = CURRENCIES[fields["sign"]]
            said = to_words(Decimal(number), lang=language, to="currency", currency=currency, separator=_BETWEEN)
            return [" ".join(part.split()) for part in said.split(_BETWEEN)]

        try:
            if scale := fields.get("scale"):  # the number itself is read with the others
                name = amount("2.00")[0].removeprefix(to_words(2, lang=language))
                return f" {fields['number']} {scale}{name} "
            if len(parts) not in (0, 2):
                return match[0]
            said = amount(f"{whole}.{parts or '00'}")
        except _NO_WORDS:
            return match[0]
        return f" {' '.join(said if int(parts or 0) else said[:1])} "

    return re.sub(behind, spoken, re.sub(before, spoken, text))
