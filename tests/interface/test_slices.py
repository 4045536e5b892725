"""Recordings are taken a few at a time, and a broken one keeps no other from its result."""

from pathlib import Path

import pytest
from helpers import write_speech

from speecht5_fairseq.data.errors import AudioError
from speecht5_fairseq.interface import slices as module
from speecht5_fairseq.interface.slices import each_found, slices


@pytest.fixture
def files(tmp_path, monkeypatch) -> list[Path]:
    """Of 1.0, 1.0, 0.5, 3.0 and 0.5 s, the third one broken; slices are of 2 s."""
    monkeypatch.setattr(module, "SLICE_SECONDS", 2.0)
    write_speech(tmp_path, 5, samples=[16_000, 16_000, 8_000, 48_000, 8_000])
    (tmp_path / "2.wav").write_text("no sound")
    return [tmp_path / f"{number}.wav" for number in range(5)]


def test_slices_are_short_and_hold_all_in_order(files):
    assert [[file.stem for file in several] for several in slices(files)] == [["0", "1"], ["2"], ["3"], ["4"]]
    assert list(slices(files[2:3])) == [[files[2]]] and list(slices([])) == []


def test_a_result_is_there_before_the_next_slice_is_computed(files):
    computed = []

    def compute(several):
        computed.append(several)
        return [file.stem for file in several]

    found = each_found(files, compute)
    assert next(found) == (0, files[0], "0") and next(found).index == 1 and len(computed) == 1
    assert next(found) == (2, files[2], "2") and len(computed) == 2


def test_a_broken_recording_costs_its_own_result_alone(files):
    """Its header may be good, so that it is in a slice with others."""

    def compute(several):
        for file in several:
            if file.stem in "12":
                raise AudioError(f"{file}: broken")
        return [file.stem for file in several]

    found = list(each_found(files, compute))
    assert [index for index, _, _ in found] == [0, 1, 2, 3, 4]
    assert [str(result) for _, _, result in found] == ["0", f"{files[1]}: broken", f"{files[2]}: broken", "3", "4"]


def test_what_is_wrong_with_all_ends_at_once(files):
    def compute(several):
        raise ValueError("no such option")

    with pytest.raises(ValueError, match="no such option"):
        next(each_found(files, compute))
