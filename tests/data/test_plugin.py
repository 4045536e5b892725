"""Functions named on the command line."""

import math

import pytest

from speecht5_fairseq.data.plugin import load_function, source_file


def test_the_function_is_found():
    assert load_function("math:hypot", "--asr") is math.hypot


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no_such_module:f", "--asr 'no_such_module:f': cannot import"),
        ("math:no", "has no function 'no'"),
        ("math:pi", "has no function 'pi'"),
        ("math", "has no function ''"),
        (":f", "cannot import ''"),
    ],
)
def test_what_is_not_there(name, problem):
    with pytest.raises(ValueError, match=problem):
        load_function(name, "--asr")


def test_the_file_of_a_function_is_found_and_not_run(tmp_path, monkeypatch):
    (tmp_path / "never_run.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    assert source_file("never_run:f") == tmp_path / "never_run.py"
    assert {source_file(name) for name in ("never_run", "no.such:f", "math", ":f", "", "a b:c")} == {None}
