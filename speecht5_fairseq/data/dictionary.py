"""Dictionaries: text pieces (with the two symbols that SpeechT5 appends), speech units, classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from fairseq.data import Dictionary

from ..constants import CTC_BLANK_SYMBOL, MASK_SYMBOL
from .errors import DictionaryError, listed, located
from .paths import irregular

_BYTE_ORDER_MARK = "\ufeff"
_OVERWRITE = " #fairseq:overwrite"  # fairseq's flag that lets a line replace an earlier one
_MOST_DIGITS = 18  # of a count
_MOST_UNITS = 10_000_000  # a table as long as the highest unit is made
_MAKE = "make it with `python -m manifest_tools.vocabulary` (text) or `manifest_tools.units`"


class Vocabulary(NamedTuple):
    """A dictionary and the file that it was read from: one of its own, or a checkpoint."""

    dictionary: Dictionary
    file: Path


def load_text_dictionary(path: str | Path) -> Dictionary:
    """Load `dict.txt` and append `<mask>`, then `<ctc_blank>`, where they are absent.

    Raises:
        DictionaryError: a line is not `symbol count`, a symbol comes twice, the file is missing or empty, or it holds
            `<mask>` or `<ctc_blank>` anywhere but at its end in that order.
    """
    dictionary = _load(path)
    dictionary.add_symbol(MASK_SYMBOL)
    dictionary.add_symbol(CTC_BLANK_SYMBOL)
    if dictionary.symbols[-2:] != [MASK_SYMBOL, CTC_BLANK_SYMBOL]:
        wrong = CTC_BLANK_SYMBOL if dictionary.symbols[-1] != CTC_BLANK_SYMBOL else MASK_SYMBOL
        line = dictionary.index(wrong) - dictionary.nspecial + 1
        problem = f"{wrong} stands before other symbols"
        mend = f"delete the {MASK_SYMBOL} and {CTC_BLANK_SYMBOL} lines: both are appended after the file's own symbols"
        raise DictionaryError(located(path, line, problem, mend))
    return dictionary


def dictionary_of(symbols: Sequence[str]) -> Dictionary:
    """A dictionary of symbols that were loaded before, without the four that stand before every file's own."""
    dictionary = Dictionary()
    for symbol in symbols:
        dictionary.add_symbol(symbol, overwrite=True)  # one that comes twice has two places, as in its file
    return dictionary


def own_symbols(dictionary: Dictionary) -> list[str]:
    """What `dictionary_of` makes the dictionary of."""
    return dictionary.symbols[dictionary.nspecial :]


def load_unit_dictionary(path: str | Path) -> Dictionary:
    """Load `dict.km.txt`. The class of a unit is its index less `dictionary.nspecial`: specials are no classes.

    Raises:
        DictionaryError: the file breaks its format, or holds no integer unit or one that is no number of a cluster.
    """
    dictionary = _load(path)
    try:
        classes = unit_classes(dictionary)
    except DictionaryError as error:
        raise DictionaryError(f"{path}: {error}") from error
    if not (classes >= 0).any():
        raise DictionaryError(
            located(path, 1, "no unit in the dictionary", "write one line `UNIT COUNT` for each k-means unit")
        )
    return dictionary


def unit_classes(dictionary: Dictionary) -> np.ndarray:
    """The class of each unit number: int64 (highest unit + 1,), with -1 for numbers that the dictionary lacks.

    Raises:
        DictionaryError: a number too high for a cluster's.
    """
    symbols = own_symbols(dictionary)
    numbers = {symbol: number for number, symbol in enumerate(symbols) if symbol.isascii() and symbol.isdigit()}
    high = [symbol for symbol in numbers if len(symbol) > _MOST_DIGITS or int(symbol) >= _MOST_UNITS]
    if high:
        problem = f"the unit {high[0][:40]} is no number of a cluster (below {_MOST_UNITS:,})"
        raise DictionaryError(f"{problem}; make the dictionary with `python -m manifest_tools.units`")
    units = {int(symbol): number for symbol, number in numbers.items()}
    classes = np.full(max(units, default=-1) + 1, -1, dtype=np.int64)
    for unit, number in units.items():
        classes[unit] = number
    return classes


def unit_count(dictionary: Dictionary) -> int:
    """Classes that a dictionary of units holds."""
    return len(dictionary) - dictionary.nspecial


def load_class_dictionary(path: str | Path) -> list[str]:
    """The names in `dict.txt`, one a class, in its order: the number of a class is its place. Specials are no classes.

    Raises:
        DictionaryError: the file is missing, breaks its format, or has fewer than two classes.
    """
    dictionary = _load(path, "write one line `NAME COUNT` for each class of the training manifest")
    names = own_symbols(dictionary)
    if len(names) < 2:
        mend = "write one line `NAME COUNT` for each class, two at least"
        raise DictionaryError(located(path, 1, f"one class ({names[0]!r}), so there is nothing to tell apart", mend))
    return names


def _load(path: str | Path, mend: str = _MAKE) -> Dictionary:
    """fairseq's own loader after a check that names the line of every mistake."""
    kind = irregular(path)
    if kind is not None:
        raise DictionaryError(f"{path}: {kind}, not a dictionary; {mend}")
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise DictionaryError(f"{path}: no such dictionary; {mend}") from error
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 ({error.reason} at byte {error.start})"
        raise DictionaryError(f"{path}: {problem}; convert it to UTF-8") from error
    except OSError as error:
        raise DictionaryError(f"{path}: cannot be read ({error.strerror}); give a file that can") from error
    if lines[0].startswith(_BYTE_ORDER_MARK):
        raise DictionaryError(located(path, 1, "starts with a byte order mark", "save it as UTF-8 without one"))
    if lines[-1] == "":
        lines.pop()
    problems = _problems(path, lines)
    if problems:
        raise DictionaryError(listed(problems))
    return Dictionary.load(str(path))


def _problems(path: str | Path, lines: list[str]) -> list[str]:
    if not lines:
        return [located(path, 1, "the dictionary is empty", "write one line `SYMBOL COUNT` for each symbol")]
    problems = []
    seen = set(Dictionary().symbols)
    for number, line in enumerate(lines, start=1):
        text = line.rstrip()
        replaces = text.endswith(_OVERWRITE)
        symbol, space, count = text.removesuffix(_OVERWRITE).rpartition(" ")
        if not (symbol and space and count.isascii() and count.isdigit() and len(count) <= _MOST_DIGITS):
            problems.append(located(path, number, f"not a symbol, a space and a count ({line!r})", "rewrite the line"))
        elif symbol in seen and not replaces:
            problems.append(located(path, number, f"symbol given before or reserved ({symbol!r})", "delete the line"))
        seen.add(symbol)
    return problems
