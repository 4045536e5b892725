"""Optional packages: not imported before they are needed, and named with the command that installs them."""

import sys

import pytest

from speecht5_fairseq.scoring import optional
from speecht5_fairseq.scoring.optional import REQUIREMENTS, optional_module


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_a_missing_package_is_named_with_its_command(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(ImportError, match=f"package {name} is needed.*pip install {name}"):
        optional_module(name)


def test_pyworlds_own_dependency_is_named(monkeypatch):
    def fail(name):
        raise ModuleNotFoundError("No module named 'pkg_resources'")

    monkeypatch.setattr(optional.importlib, "import_module", fail)
    with pytest.raises(ImportError, match="pkg_resources.*pip install pyworld 'setuptools<82'"):
        optional_module("pyworld")
