"""Generated recordings matched with what they are held against."""

from pathlib import Path

import numpy as np
import pytest

from speecht5_fairseq.data.audio import write_audio
from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.scoring.folders import Utterance, open_folder

COLUMNS = ("id", "wav", "reference", "speaker", "text", "status")


def recordings(folder, *names):
    for name in names:
        write_audio(folder / name, np.zeros(10))
    return folder


def results(folder, *rows, columns=COLUMNS):
    folder.mkdir(exist_ok=True)
    lines = [columns, *rows]
    (folder / "results.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
    return folder


def test_the_columns_of_results(tmp_path):
    folder = results(
        tmp_path / "out", ("a", "wav/a.wav", "/r/a.flac", "/v/a.npy", "say it", "ok"), ("b", "", "", "", "", "no mel")
    )
    table, utterances = open_folder(folder)
    assert table.path == folder / "results.tsv"
    assert utterances == [
        Utterance("a", folder / "wav/a.wav", Path("/r/a.flac"), None, Path("/v/a.npy"), "say it", "ok"),
        Utterance("b", folder, status="no mel"),
    ]


def test_a_source_column_and_a_row_without_file(tmp_path):
    folder = results(tmp_path / "out", ("a", "", "/s/a.wav"), columns=("id", "wav", "source"))
    (utterance,) = open_folder(folder)[1]
    assert utterance.source == Path("/s/a.wav") and utterance.status == "the column wav is empty"


def test_options_go_before_columns(tmp_path):
    folder = results(tmp_path / "out", *((name, f"wav/{name}.wav", "/r", "", "old", "ok") for name in "ab"))
    references = recordings(tmp_path / "r", "wav/a.flac")
    texts = tmp_path / "texts.tsv"
    texts.write_text("a\tnew\n")
    first, second = open_folder(folder, references=references, sources=references, texts=texts)[1]
    assert (first.reference, first.source, first.text) == (references / "wav/a.flac", references / "wav/a.flac", "new")
    assert (second.reference, second.source, second.text) == (None, None, "old")


def test_plain_folders_match_by_path(tmp_path, caplog):
    folder = recordings(tmp_path / "g", "one/a.wav", "b.wav")
    (folder / "notes.txt").write_text("")
    references = recordings(tmp_path / "r", "one/a.flac", "b.wav", "c.wav")
    table, utterances = open_folder(folder, references=references)
    assert table.path == folder / "scores.tsv"
    assert [(u.name, u.generated, u.reference) for u in utterances] == [
        ("b", folder / "b.wav", references / "b.wav"),
        ("one/a", folder / "one/a.wav", references / "one/a.flac"),
    ]
    assert "1 of 3 recordings were not generated" in caplog.text


@pytest.mark.parametrize("option", ["references", "sources"])
def test_rows_without_a_recording_in_the_folder_match_nothing(tmp_path, monkeypatch, option):
    """Utterances that failed or have a mel alone, and paths that are absolute, the folder itself being relative."""
    monkeypatch.chdir(tmp_path)
    inside, elsewhere = str(tmp_path / "out/c.wav"), str(tmp_path / "elsewhere/d.wav")
    rows = [("a", "a.wav", "ok"), ("b", "", "no mel frames"), ("c", inside, "ok"), ("d", elsewhere, "ok")]
    folder = results(Path("out"), *rows, columns=("id", "wav", "status"))
    others = recordings(tmp_path / "r", "a.wav", "c.flac", "d.wav")
    utterances = open_folder(folder, **{option: others})[1]
    found = {utterance.name: getattr(utterance, option[:-1]) for utterance in utterances}
    assert found == {"a": others / "a.wav", "b": None, "c": others / "c.flac", "d": None}
    assert [utterance.status for utterance in utterances] == ["ok", "no mel frames", "ok", "ok"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"generated": "missing"}, "GENERATED .*missing: no such folder"),
        ({"references": "missing"}, "--references .*no such folder"),
        ({"generated": "empty"}, "neither results.tsv nor recordings"),
        ({"generated": "no_rows"}, "no utterances to score"),
        ({"generated": "twice"}, "a.wav: a.flac has the same id 'a'"),
        ({"references": "both"}, "both/b.wav: b.flac has the same id 'b'"),
        ({"sources": "both"}, "both/b.wav: b.flac has the same id 'b'"),
        ({"sources": "other"}, "--sources .*none of its 1 recordings .* such as b"),
        ({"generated": "mels", "references": "other"}, "--references .*no row of .*results.tsv names a recording in"),
        ({"texts": "texts.tsv"}, "--texts .*the first one's id is 'b'"),
    ],
)
def test_mistakes_are_named(tmp_path, options, problem):
    recordings(tmp_path / "g", "b.wav")
    recordings(tmp_path / "twice", "a.wav", "a.flac")
    recordings(tmp_path / "both", "b.wav", "b.flac")
    recordings(tmp_path / "other", "x.wav")
    results(tmp_path / "no_rows")
    results(tmp_path / "mels", ("a", ""), columns=("id", "wav"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts.tsv").write_text("x\ttext\n")
    paths = {name: tmp_path / value for name, value in {"generated": "g", **options}.items()}
    with pytest.raises(DataError, match=problem):
        open_folder(**paths)
