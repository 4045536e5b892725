"""One utterance's speech against its text."""

import numpy as np
import pytest

from speecht5_fairseq.codes.crossing import best_path, cross, same_entries


def test_speech_against_its_text(pairs):
    given = pairs(lambda letters: letters, even=False)
    found = cross(given, 7)
    pair = given[7]
    assert found.codes.shape == found.states.shape == (len(pair.speech.codes), len(pair.letters))
    for frame, place in np.ndindex(found.codes.shape):
        assert found.codes[frame, place] == np.mean(pair.speech.codes[frame] == pair.text.codes[place])
    assert found.on_path == 1.0 > found.others > found.everywhere
    assert found.code_path[0].tolist() == [0, 0]
    assert (np.diff(found.code_path, axis=0) >= 0).all() and (np.diff(found.state_path, axis=0) >= 0).all()
    assert found.code_path[-1].tolist() == [len(pair.speech.codes) - 1, len(pair.letters) - 1]
    weights = [len(each.speech.codes) for each in given]
    mean = np.average([each.speech.states.mean(0) for each in given], axis=0, weights=weights)
    text_mean = np.concatenate([each.text.states for each in given]).mean(0)
    heard, read = pair.speech.states[2] - mean, pair.text.states[1] - text_mean
    expected = heard @ read / np.linalg.norm(heard) / np.linalg.norm(read)
    assert found.states[2, 1] == pytest.approx(expected, abs=1e-5)


def test_half_of_the_groups_agree():
    speech, text = np.array([[1, 2], [3, 4], [5, 6]]), np.array([[1, 9], [3, 4]])
    assert same_entries(speech, text).tolist() == [[0.5, 0.0], [0.0, 1.0], [0.0, 0.0]]
    assert best_path(same_entries(speech, text)).tolist() == [[0, 0], [1, 1], [2, 1]]
