"""Recordings and texts within their limits, and errors in the words of their users."""

import io

import pytest
import requests
import soundfile
import torch

from speecht5_fairseq.web import uploads


def wav(seconds: float, format: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.1 * torch.randn(int(16_000 * seconds)).numpy(), 16_000, format=format)
    return file.getvalue()


@pytest.mark.parametrize(
    "file, status, words",
    [
        (("talk.flac", wav(8.05, "FLAC")), 413, "talk.flac: 8.1 s, and 8 s is the most here; give a shorter one"),
        (("notes.txt", b"no sound at all" * 9), 400, "notes.txt: not readable as audio"),
        (("../../a.wav", b""), 400, "a.wav: not readable as audio"),
        (("x.raw", wav(0.5)), 400, "x.raw: not readable as audio"),
        (("blip.wav", wav(0.01)), 400, "blip.wav: 160 samples at 16000 Hz"),
    ],
)
def test_recordings_that_are_refused(server, file, status, words):
    answer = server.post("recognise", recording=file)
    assert answer.status_code == status
    assert words in answer.json()["error"] and "/tmp" not in answer.json()["error"]


def test_channels_and_rates_that_would_fill_the_memory_are_refused(server):
    file = io.BytesIO()
    soundfile.write(file, torch.zeros(8 * 192_000, 2).repeat(1, 4).numpy(), 192_000, format="FLAC")
    answer = server.post("recognise", recording=("zeros.flac", file.getvalue()))
    assert answer.status_code == 413
    assert answer.json()["error"] == (
        "zeros.flac: 8 channels at 192,000 Hz are too much of 8.0 s; send one channel at 16,000 Hz"
    )


@pytest.mark.parametrize("said", [True, False])
def test_too_many_bytes_whether_said_or_not(server, said):
    body = b'--x\r\nContent-Disposition: form-data; name="recording"; filename="a.wav"\r\n\r\n' + bytes(1_200_000)
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(
            f"{server.address}/api/recognise",
            data=body if said else iter([body[:600_000], body[600_000:]]),  # an iterator is sent in chunks
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        )
    assert answer.status_code == 413
    assert answer.json()["error"] == "more than 1 MB, the most here; give a shorter recording, or FLAC"


def test_a_long_text(server):
    answer = server.post("say", data={"text": "A" * 1001, "voice": "anna"})
    assert answer.status_code == 413
    assert answer.json()["error"] == "the text has 1,001 characters, and 1,000 is the most here; shorten it"


def test_a_line_break_is_one_character_as_in_the_browser(server):
    text = "\r\n".join(["AB"] * 333)  # 998 there, 1,330 as it is sent
    answer = server.post("say", data={"text": text, "voice": "anna"})
    assert answer.status_code == 200


def test_a_voice_may_begin_with_a_space(server, site, monkeypatch):
    monkeypatch.setitem(site.voices, " anna", site.voices["anna"])
    assert server.post("say", data={"text": "AB", "voice": " anna"}).status_code == 200


def test_a_file_in_place_of_words(server):
    answer = server.post("say", text=("a.txt", b"AB"))
    assert answer.status_code == 400 and "text: a file, and words are needed" in answer.json()["error"]


@pytest.mark.parametrize("content", [wav(0.5), b"no sound"])
def test_no_file_stays_on_disk(server, folder, tmp_path, monkeypatch, content):
    seen = []
    monkeypatch.setattr(uploads.tempfile, "tempdir", str(tmp_path))
    read = uploads.audio_info
    monkeypatch.setattr(uploads, "audio_info", lambda path: seen.append(path.exists()) or read(path))
    server.post("identify", recording=("a.wav", content))
    assert seen == [True] and list(tmp_path.iterdir()) == []
