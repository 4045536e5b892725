"""Functions named on the command line."""

import math

import pytest

from speecht5_fairseq.data.plugin import load_function


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
