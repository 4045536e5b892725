"""Values from a file held against examples of their kind: a wrong one is named before anything is computed with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

# Kind of an example -> what takes its place, and what it is called. bool stands before int, of which it is one.
_KINDS: tuple[tuple[type, tuple[type, ...], str], ...] = (
    (bool, (bool,), "true or false"),
    (int, (int,), "a whole number"),
    (float, (float, int), "a number"),
    (str, (str,), "a text"),
    (list, (list, tuple), "a list"),
    (dict, (Mapping,), "values by name"),
    (Tensor, (Tensor,), "a tensor"),
)
_SHOWN = 60  # letters of a value in a message


def wrong_kinds(found: Mapping[str, Any], examples: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with each of the values that have an example, "NAME is VALUE, wanted is KIND".

    Args:
        examples: by name; in place of [1] stands a list of whole numbers, of [] any list, of None anything.
    """
    for name, value in found.items():
        wanted = _wanted(value, examples.get(name))
        if wanted is not None:
            yield f"{name} is {_shown(value)}, wanted is {wanted}"


def _wanted(value: Any, example: Any) -> str | None:
    """What is wanted in place of a value; None where it is of the example's kind."""
    if example is None:
        return None
    types, name = next((types, name) for kind, types, name in _KINDS if isinstance(example, kind))
    fits = isinstance(value, types) and (isinstance(example, bool) or not isinstance(value, bool))
    if not (isinstance(example, list) and example):
        return None if fits else name
    inner = [_wanted(each, example[0]) for each in value] if fits else []
    own = next(name for kind, _, name in _KINDS if isinstance(example[0], kind))
    return None if fits and not any(inner) else f"{name}, in each place {own}"


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype} and shape {tuple(value.shape)}"
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # lists within lists; whole numbers of thousands of digits
        text = f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
