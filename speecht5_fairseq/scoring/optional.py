"""The one place that imports optional packages: only when a metric is asked for that needs one."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

# module -> what pip installs for it; all of them are the extra `speech` of setup.py
REQUIREMENTS = {
    "pesq": "pesq",
    "pocketsphinx": "pocketsphinx",
    "pystoi": "pystoi",
    "pyworld": "pyworld 'setuptools<82'",  # pyworld 0.3.5 imports pkg_resources, which setuptools 82 dropped
}


def optional_module(name: str) -> ModuleType:
    """Import an optional package by the name of its module, a key of REQUIREMENTS.

    Raises:
        ImportError: it is not installed or does not import; the message has the pip command.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
            return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"the Python package {name} is needed and does not import ({error}): pip install {REQUIREMENTS[name]}, "
            "or everything that scores of speech need: pip install -e '.[speech]'"
        ) from error
