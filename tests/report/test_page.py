"""The whole page: well formed, without anything from outside, safe for any text, the same each time."""

import base64
import importlib.util
import io
import os
import re
from html.parser import HTMLParser

import pytest
import soundfile
from report_folders import (
    HEARD,
    HOSTILE,
    SAID,
    write_run,
    write_speaker_results,
    write_speech_results,
    write_transcripts,
)

from speecht5_fairseq.report.__main__ import main

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Reader(HTMLParser):
    """Checks that all elements are closed in order, and keeps elements, attributes and texts."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.found, self.texts = [], [], []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert not reader.open
    return reader


@pytest.fixture
def page(tmp_path):
    """A function: the page of these runs."""

    def make(*arguments):
        path = tmp_path / "page.html"
        main([*map(str, arguments), "-o", str(path)])
        return read(path)

    return make


@pytest.fixture
def everything(tmp_path):
    """A folder of each kind."""
    run, other = write_run(tmp_path / "asr"), write_run(tmp_path / "asr2", kind="json", start=6.0)
    texts = write_transcripts(tmp_path / "out"), write_transcripts(tmp_path / "out2", SAID)
    return [run, other, *texts, write_speech_results(tmp_path / "tts"), write_speaker_results(tmp_path / "sid")]


def test_it_is_one_file_without_scripts_or_links_to_anything(page, everything, manifest):
    found = page(*everything, "--data", manifest)
    sources = [value for _, attributes in found.found for name, value in attributes.items()
               if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href")]  # fmt: skip
    assert sources and all(value.startswith("data:") for value in sources)
    assert not found.all("script") and not found.all("link") and not found.all("iframe")
    assert not [name for _, attributes in found.found for name in attributes if name.startswith("on")]
    assert "url(" not in "".join(found.texts) and "@import" not in "".join(found.texts)
    for title in ("Scores", "Differences", "Training", "Verification", "Frequent errors"):
        assert title in found.texts


def test_text_of_the_data_is_text_on_the_page(page, tmp_path):
    folder = write_transcripts(tmp_path / "<b>out", [HOSTILE, "\u202eevil", "</style><img src=x onerror=y>"], SAID[:3])
    found = page(folder, "--title", HOSTILE)
    assert not found.all("script") and not found.all("b") and not found.all("img")
    assert f"{HOSTILE}" in found.text and "onerror=y>" in found.text
    tts = page(write_speech_results(tmp_path / "tts"))
    assert HOSTILE in tts.text and not tts.all("script")


def test_the_same_runs_give_the_same_page(everything, tmp_path):
    for name in ("first", "second"):
        main([*map(str, everything), "-o", str(tmp_path / name)])
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_the_worst_come_first_with_their_recordings(page, tmp_path, manifest):
    found = page(write_transcripts(tmp_path / "out"), "--data", manifest, "--worst", 2)
    titles = re.findall(r"utterance (\d) WER (\d+)%", found.text)
    assert titles == [("1", "50"), ("3", "33")]
    players = found.all("audio")
    assert len(players) == 2
    kind, content = players[0]["src"].split(",", 1)
    assert kind == "data:audio/flac;base64"
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
    wanted, _ = soundfile.read(manifest / "audio_test/1.wav")
    assert rate == 16_000 and heard == pytest.approx(wanted, abs=1e-4)


def test_where_a_log_of_decoding_names_its_data_the_recordings_are_found(page, tmp_path, manifest):
    text = (write_transcripts(tmp_path / "out") / "generate-test.txt").read_text()
    log = tmp_path / "decode.log"
    log.write_text(f"INFO:{{'dataset': {{'gen_subset': 'test'}}, 'task': {{'data': '{manifest}'}}}}\n{text}")
    assert len(page(log).all("audio")) == 4
    assert "test: no players; --data FOLDER names" in page(tmp_path / "out").text


def test_recordings_that_are_not_those_decoded_are_told_of(page, tmp_path, manifest):
    folder = write_transcripts(tmp_path / "out", [*HEARD, "more"], [*SAID, "one more"], subset="dev")
    assert "dev: no players; there is no" in page(folder, "--data", manifest).text
    (manifest / "test.tsv").rename(manifest / "dev.tsv")
    found = page(folder, "--data", manifest)
    assert "dev.tsv has 4 rows: it is not what was decoded" in found.text and len(found.all("audio")) == 4
    assert "test: no players" in page(write_speaker_results(tmp_path / "sid"), "--data", manifest).text


def test_without_references_there_is_one_line_and_no_scores(page, tmp_path):
    found = page(write_transcripts(tmp_path / "out", said=None))
    assert "no references (T- lines), so no error rates" in found.text and "Scores" not in found.texts


def test_pictures_and_sound_of_generated_speech(page, tmp_path):
    found = page(write_speech_results(tmp_path / "tts"))
    pictures, players = found.all("img"), found.all("audio")
    assert [each["src"][:22] for each in pictures] == ["data:image/png;base64,"] * 2 and len(players) == 3
    assert "reference: cannot be read" in found.text  # of the first
    assert "1 of 3 utterances were not generated" in found.text
    assert found.text.index("mcd 7 dB") < found.text.index("mcd 5 dB")


def test_a_picture_that_was_drawn_goes_before_the_mel(page, tmp_path):
    folder = write_speech_results(tmp_path / "tts")
    (folder / "test/0.png").write_bytes(b"\x89PNG\r\n\x1a\n drawn")
    (folder / "test/2.png").write_bytes(b"no picture")
    encoded = [each["src"].split(",")[1] for each in page(folder).all("img")]
    assert base64.b64decode(encoded[1]).endswith(b"drawn") and not base64.b64decode(encoded[0]).endswith(b"picture")


def test_without_matplotlib_the_page_says_what_to_install(page, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "matplotlib" else find(name))
    found = page(write_speech_results(tmp_path / "tts"))
    assert not found.all("img") and "pip install matplotlib" in found.text


def test_speakers_have_a_map_a_curve_and_mistakes(page, tmp_path):
    found = page(write_speaker_results(tmp_path / "sid"))
    assert "DET curve of test" in found.text and "Speakers of test" in found.text
    assert found.text.count("taken for s0 with probability 0.700") == 2
    assert len([each for each in found.all("circle") if each.get("r") == "4.5"]) == 12
    assert "accuracy, %" in found.text and "83.33" in found.text and "EER, %" in found.text


def test_trials_of_two_systems_stand_side_by_side(page, tmp_path):
    folders = [write_speaker_results(tmp_path / name) for name in ("base", "large")]
    for folder in folders:
        (folder / "unseen.scores.tsv").write_text((folder / "test.scores.tsv").read_text())
    found = page(*folders)
    rows = re.findall(r"(\S+) EER, % lower is better (\S+) \S+ to \S+ 12 utterances (\S+) ", found.text)
    assert [row[0] for row in rows] == ["test", "unseen"] and len({score for row in rows for score in row[1:]}) == 1
    assert "DET curve of unseen" in found.text and "base: EER" in found.text


def test_the_best_of_several_is_marked_and_equal_ones_are_not(page, tmp_path):
    good, bad = write_transcripts(tmp_path / "good", SAID), write_transcripts(tmp_path / "bad")
    marked = [each for each in page(bad, good).all("td") if "best" in each.get("class", "")]
    assert len(marked) == 2  # of WER and CER
    assert not [each for each in page(good, good).all("td") if "best" in each.get("class", "")]


def test_curves_lie_over_each_other(page, tmp_path):
    found = page(write_run(tmp_path / "one"), write_run(tmp_path / "two", kind="json", start=9.0))
    assert found.text.count("one: train") >= 2 and "two: valid" in found.text
    assert {"c0", "c1", "c0 dashed"} & {each["class"] for each in found.all("polyline")} >= {"c0", "c1"}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["RUN", "--worst", "-1"], "--worst -1: give a number"),
        (["RUN", "RUN", "--log", "RUN"], "--log belongs to one RUN"),
        (["RUN", "--audio-root", "RUN"], "--audio-root has no effect without --data"),
        (["RUN", "--data", "RUN/gone"], "--data .*gone: no such folder"),
        (["RUN", "-o", "RUN"], "is a folder: name a file"),
        (["RUN", "-o", "RUN/gone/page.html"], "there is no folder .*gone; make it"),
        (["RUN/gone"], "no such folder or file"),
    ],
)
def test_options_that_cannot_be(tmp_path, arguments, message):
    run = write_run(tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        main([argument.replace("RUN", str(run)) for argument in arguments])


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert capsys.readouterr().out.count("python -m speecht5_fairseq.report ") >= 5


def test_a_name_that_is_not_utf8_is_written_out(tmp_path, capsys):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    main([str(write_transcripts(folder / "out")), str(write_run(folder / "asr")), "-o", str(folder / "page.html")])
    assert f"{tmp_path}/caf\\udce9/out" in read(folder / "page.html").text
    assert f"{tmp_path}/caf\\udce9/page.html, 0.0 MB" in capsys.readouterr().out


def test_what_was_found_is_printed(tmp_path, capsys):
    main([str(write_transcripts(tmp_path / "out")), "-o", str(tmp_path / "page.html")])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "out: transcripts" and "no players" in printed[1] and printed[-1].endswith("in a browser")
