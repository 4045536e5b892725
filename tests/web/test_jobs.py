"""What each tab computes, against the Python interface."""

import base64
import io
import json
import logging
import threading

import numpy as np
import pytest
import soundfile
import torch

from speecht5_fairseq.interface import Segment, Transcript
from speecht5_fairseq.web.jobs import COLUMNS, PACKAGE, Work, compute, picture
from speecht5_fairseq.web.refusals import Refused


def work(site, tab, **given) -> Work:
    return Work(**{"recording": None, "text": "", "voice": None, "options": site.tabs[tab].options, **given})


@pytest.fixture
def wave() -> torch.Tensor:
    return 0.1 * torch.randn(9000)


def test_recognise(site, wave):
    model = site.tabs["recognise"].served.model
    found = compute("recognise", model, work(site, "recognise", recording=wave))
    expected = model.transcribe(wave)
    assert (found["text"], found["score"]) == (expected.text, expected.score)
    assert found["segments"] == [{"start": 0.0, "end": 9000 / 16000, "text": expected.text}]


def test_no_text_was_possible(site, wave, monkeypatch):
    """The score is -inf, which JSON does not have."""
    nothing = Transcript("", [Segment(0.0, 9000 / 16000, "", float("-inf"), 1)])
    monkeypatch.setattr(site.tabs["recognise"].served.model, "transcribe", lambda *args, **options: nothing)
    found = compute("recognise", site.tabs["recognise"].served.model, work(site, "recognise", recording=wave))
    assert json.loads(json.dumps(found, allow_nan=False))["score"] is None


@pytest.mark.parametrize("tab, method", [("convert", "convert_voice"), ("enhance", "enhance")])
def test_speech_from_speech(site, wave, tab, method):
    model, voice = site.tabs[tab].served.model, site.voices["ben"]
    found = compute(tab, model, work(site, tab, recording=wave, voice=voice))
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(found["wav"])))
    expected = getattr(model, method)(wave, voice).waveform
    assert rate == 16_000 and found["seconds"] == len(expected) / 16_000
    assert np.allclose(heard, expected.clip(-1, 1), atol=1e-4)


def test_say_with_what_the_package_warned_of(site):
    model, voice = site.tabs["say"].served.model, site.voices["anna"]
    found = compute("say", model, work(site, "say", text="AB7", voice=voice))
    assert found["seconds"] > 0 and any(note.startswith("unknown symbols: '7' x 1") for note in found["notes"])
    assert compute("say", model, work(site, "say", text="AB", voice=voice))["notes"] == []


def test_notes_are_those_of_the_own_request(site, wave, monkeypatch):
    model = site.tabs["identify"].served.model
    computed = model.identify

    def warn() -> None:
        logging.getLogger(f"{PACKAGE.name}.data").warning("of another request")

    def identify(*args, **options):
        other = threading.Thread(target=warn)
        other.start()
        other.join()
        logging.getLogger(f"{PACKAGE.name}.data").warning("of this request")
        return computed(*args, **options)

    monkeypatch.setattr(model, "identify", identify)
    found = compute("identify", model, work(site, "identify", recording=wave))
    assert found["notes"] == ["of this request"]
    assert found["classes"][0][0] == found["name"] and len(found["classes"]) == 5


@pytest.mark.parametrize(
    "tab, given, message",
    [
        ("recognise", {}, "no recording"),
        ("say", {"voice": np.ones(512, dtype=np.float32)}, "no text"),
        ("say", {"text": "AB"}, "no voice"),
        ("convert", {"recording": torch.zeros(9000)}, "no voice"),
    ],
)
def test_what_is_missing(site, tab, given, message):
    with pytest.raises(Refused, match=message):
        compute(tab, site.tabs[tab].served.model, work(site, tab, **given))


def test_picture_has_the_highest_bin_on_top_and_a_limited_width():
    mel = np.zeros((2 * COLUMNS + 1, 80), dtype=np.float32)
    mel[:, 79] = 1
    found = picture(mel)
    grey = np.frombuffer(base64.b64decode(found["grey"]), dtype=np.uint8).reshape(found["height"], found["width"])
    assert found["height"] == 80 and COLUMNS / 2 < found["width"] <= COLUMNS
    assert (grey[0] == 255).all() and not grey[1:].any()
    assert not any(base64.b64decode(picture(np.zeros((3, 80), dtype=np.float32))["grey"]))
