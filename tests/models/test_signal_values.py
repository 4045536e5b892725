"""A checkpoint of another signal is refused by what differs."""

import pytest

from speecht5_fairseq import constants
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.signal_values import SIGNAL, check_signal


def test_the_values_are_the_constants():
    assert SIGNAL["MEL_HOP"] == constants.MEL_HOP == 256 and SIGNAL["SPEAKER_DIM"] == 512


@pytest.mark.parametrize("state", [None, {}, {"signal": None}, {"signal": dict(SIGNAL)}, {"other": 3}])
def test_the_same_values_or_none_pass(state):
    check_signal(state, "checkpoint.pt")


@pytest.mark.parametrize("name", SIGNAL)
def test_each_value_counts(name):
    expected = f"^checkpoint.pt: trained with another signal \\({name} 1, here {SIGNAL[name]}\\); give a checkpoint"
    with pytest.raises(CheckpointError, match=expected):
        check_signal({"signal": {**SIGNAL, name: 1}}, "checkpoint.pt")


def test_a_value_that_is_not_known_here_counts_too():
    with pytest.raises(CheckpointError, match="FRAME_NORM 2, here unknown"):
        check_signal({"signal": {**SIGNAL, "FRAME_NORM": 2}}, "checkpoint.pt")
