"""Functions that a user names on the command line."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def load_function(name: str, option: str) -> Callable[..., Any]:
    """The function that `module:function` names. Raises ValueError that names the option and what is not there."""
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{option} {name!r}: cannot import {module_name!r} ({error}); check PYTHONPATH") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"{option} {name!r}: {module_name!r} has no function {function_name!r}")
    return function


def source_file(name: str) -> Path | None:
    """The file of the module in `module:function`, which is not run for it; None where it is not found."""
    module, colon, _ = name.partition(":")
    with suppress(ImportError, ValueError, AttributeError):  # no name of a module
        spec = importlib.util.find_spec(module) if colon else None
        if spec is not None and spec.has_location:
            return Path(spec.origin)
    return None
