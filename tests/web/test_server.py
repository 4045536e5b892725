"""The site over HTTP: what it tells, several users at once, errors as words, other sites kept out."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from speecht5_fairseq.web.command import is_loopback


def test_the_page_and_what_it_shows(server, folder):
    about = server.get("/api/site").json()
    assert [tab["name"] for tab in about["tabs"]] == ["recognise", "say", "convert", "enhance", "identify"]
    assert about["tabs"][0] == {"name": "recognise", "checkpoint": f"{folder.name}/asr.pt", "device": "cpu"}
    assert about["voices"] == ["anna", "ben"] and about["voices_of_recordings"]
    assert about["limits"] == {"seconds": 8.0, "megabytes": 1.0, "characters": 1000}
    page = server.get("/")
    assert "<title>SpeechT5</title>" in page.text and "default-src 'self'" in page.headers["content-security-policy"]
    for name in ("page.js", "recording.js", "results.js", "page.css", "icon.svg"):
        assert server.get(f"/page/{name}").ok and "http:" not in server.get(f"/page/{name}").text.replace(
            "http://www.w3.org/2000/svg", ""
        )
    assert is_loopback(server.listening)


def test_checkpoints_that_two_options_name_are_loaded_once(site):
    assert site.speaker is site.tabs["identify"].served


def test_two_users_at_once_do_not_mix(server, site, folder):
    files = [folder / "0.wav", folder / "1.wav"]
    model = site.tabs["recognise"].served.model
    expected = [model.transcribe(file).score for file in files]
    assert abs(expected[0] - expected[1]) > 1e-3
    together = threading.Barrier(2)

    def user(number: int) -> list[float]:
        together.wait()
        return [server.post("recognise", recording=files[number]).json()["score"] for _ in range(2)]

    with ThreadPoolExecutor(2) as users:
        found = list(users.map(user, range(2)))
    assert found == [[score] * 2 for score in expected]


def test_one_model_computes_one_request_at_a_time(server, site, folder, monkeypatch):
    model, inside, most, seen = site.tabs["identify"].served.model, 0, 0, []
    computed = model.identify

    def identify(*args, **options):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        seen.append(server.get("/api/waiting").json()["identify"])  # the server answers meanwhile
        inside -= 1
        return computed(*args, **options)

    monkeypatch.setattr(model, "identify", identify)
    with ThreadPoolExecutor(3) as users:
        answers = list(users.map(lambda _: server.post("identify", recording=folder / "0.wav"), range(3)))
    assert all(answer.ok for answer in answers) and most == 1 and max(seen) >= 1
    assert server.get("/api/waiting").json()["identify"] == 0


@pytest.mark.parametrize("tab", ["say", "convert", "enhance"])
def test_the_voice_is_the_one_that_was_asked_for(server, folder, tab):
    given = {} if tab == "say" else {"recording": folder / "0.wav"}
    data = {"text": "ABC"}
    named = [server.post(tab, data={**data, "voice": name}, **given).json() for name in ("anna", "ben", "anna")]
    assert named[0] == named[2] and named[0]["wav"] != named[1]["wav"]
    of_recording = server.post(tab, data=data, voice_recording=folder / "1.wav", **given).json()
    assert of_recording["wav"] not in (named[0]["wav"], named[1]["wav"])


@pytest.mark.parametrize(
    "tab, data, status, words",
    [
        ("recognise", {}, 400, "no recording: choose a file, or record one"),
        ("say", {"text": "AB", "voice": "carl"}, 400, "no voice 'carl'; there are anna, ben"),
        ("say", {"text": "AB"}, 400, "no voice: choose one"),
        ("sing", {}, 404, "no tab 'sing'; there are recognise, say"),
    ],
)
def test_errors_are_words(server, tab, data, status, words):
    answer = server.post(tab, data=data)
    assert answer.status_code == status and words in answer.json()["error"]


def test_a_result_that_is_no_json_goes_to_the_log_too(server, folder, monkeypatch, caplog):
    monkeypatch.setattr("speecht5_fairseq.web.server.compute", lambda *given: {"score": float("nan")})
    answer = server.post("recognise", recording=("a.wav", (folder / "0.wav").read_bytes()))
    assert answer.status_code == 500 and "the log of the server tells it under" in answer.json()["error"]
    assert "an error that is not of the request's making" in caplog.text


def test_a_form_that_is_none(server):
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = session.post(f"{server.address}/api/recognise", data=b"no boundary in here", headers=headers)
    assert answer.status_code == 400 and answer.json()["error"]


def test_an_unexpected_error_goes_to_the_log_and_not_to_the_page(server, site, folder, monkeypatch, caplog):
    def identify(*args, **options):
        raise RuntimeError("a secret of the machine")

    monkeypatch.setattr(site.tabs["identify"].served.model, "identify", identify)
    answer = server.post("identify", recording=folder / "0.wav")
    words = answer.json()["error"]
    assert answer.status_code == 500 and "secret" not in answer.text
    number = words.split()[-1]
    assert words.startswith("something went wrong that should not; the log of the server tells it under")
    (record,) = [record for record in caplog.records if number in record.getMessage()]
    assert "a secret of the machine" in str(record.exc_info[1])
    monkeypatch.undo()
    assert server.post("identify", recording=folder / "0.wav").ok  # the model is free again


@pytest.mark.parametrize(
    "headers, words",
    [
        ({"Host": "[::1"}, "the name '[::1' is not this machine's own"),
        ({"Host": "evil.example"}, "the name 'evil.example' is not this machine's own"),
        ({"Origin": "http://evil.example"}, "a request of http://evil.example"),
    ],
)
def test_other_sites_are_kept_out(server, folder, headers, words):
    answer = server.post("identify", recording=folder / "0.wav", headers=headers)
    assert answer.status_code == 403 and words in answer.json()["error"]
