"""Manifests of texts without recordings."""

import numpy as np
import pytest
from helpers import write_lines

from manifest_tools.sentences import estimated_samples, main, prepare_sentences
from speecht5_fairseq.data.errors import AudioError
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
from speecht5_fairseq.data.speaker import read_speaker


@pytest.fixture
def vectors(tmp_path):
    for name in ("ann", "bob"):
        np.save(tmp_path / f"{name}.npy", np.full(512, 1.0, dtype=np.float32))
    return [tmp_path / "ann.npy", tmp_path / "bob.npy"]


def test_a_row_a_line(tmp_path, vectors):
    text = write_lines(tmp_path / "text", ["Hello there, you.", "", "Bye."])
    size = prepare_sentences(text, vectors[:1], tmp_path / "out")
    manifest = Manifest.open(tmp_path / "out/test.tsv", JOB_COLUMNS["t2s"])
    assert [manifest.row(index)["path"] for index in range(2)] == ["line-00001.wav", "line-00002.wav"]
    assert manifest.samples.tolist() == [17 * 1100, 8000] and size.samples == 17 * 1100 + 8000
    assert read_speaker(manifest.path(1, "speaker")).shape == (512,)
    assert (tmp_path / "out/test.txt").read_text() == "Hello there, you.\nBye.\n"
    assert estimated_samples("") == 8000


def test_every_line_in_every_voice(tmp_path, vectors, capsys):
    text = write_lines(tmp_path / "text", ["A!", "B?"])
    main([
        *("--text", str(text), "--speaker", *map(str, vectors), "--out", str(tmp_path / "out")),
        *("--split", "speak", "--normalise", "en"),
    ])  # fmt: skip
    manifest = Manifest.open(tmp_path / "out/speak.tsv", JOB_COLUMNS["t2s"])
    rows = [(manifest.row(index)["path"], manifest.path(index, "speaker").name) for index in range(4)]
    assert rows == [
        ("ann/line-00001.wav", "ann.npy"), ("ann/line-00002.wav", "ann.npy"),
        ("bob/line-00001.wav", "bob.npy"), ("bob/line-00002.wav", "bob.npy"),
    ]  # fmt: skip
    assert (tmp_path / "out/speak.txt").read_text() == "a\nb\n" * 2 and "speak" in capsys.readouterr().out


def test_mistakes_are_named(tmp_path, vectors):
    text = write_lines(tmp_path / "text", ["A"])
    with pytest.raises(AudioError, match="no readable speaker vector"):
        prepare_sentences(text, [tmp_path / "none.npy"], tmp_path / "out")
    with pytest.raises(ValueError, match="no line with words in it"):
        prepare_sentences(write_lines(tmp_path / "empty", [" "]), vectors, tmp_path / "out")
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other/ann.npy", np.ones(512, dtype=np.float32))
    with pytest.raises(ValueError, match="two vectors are called ann.npy; rename one"):
        prepare_sentences(text, [vectors[0], tmp_path / "other/ann.npy"], tmp_path / "out")
