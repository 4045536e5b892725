"""Common Voice, in a small folder of the same layout."""

import numpy as np
import pytest
import soundfile
from helpers import write_lines

from manifest_tools import common_voice, segments
from manifest_tools.common_voice import TABLES, prepare_common_voice
from manifest_tools.label_vocabulary import NO_VOCABULARY
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest

HEADER = "client_id\tpath\tsentence_id\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tvariant\tlocale\tsegment"
CLIPS = {  # table -> client, clip, sentence
    "train": [("ann", 1, "Bonjour à tous."), ("ann", 2, 'Il dit : "Oui'), ("bob", 3, "Ça va ?")],
    "dev": [("carl", 4, "Un œuf.")],
    "test": [("dora", 5, "Au revoir.")],
}
CLIPS["validated"] = [row for rows in CLIPS.values() for row in rows] + [("dora", 6, "Encore.")]


def table_line(client, clip, sentence):
    return f"{client}\tcommon_voice_fr_{clip}.mp3\tabc\t{sentence}\t2\t0\t\t\t\t\tfr\t"


@pytest.fixture
def corpus(tmp_path):
    root = tmp_path / "cv-corpus/fr"
    (root / "clips").mkdir(parents=True)
    for clip in range(1, 7):
        wave = 0.4 * np.sin(np.arange(24000) * 0.02 * clip)
        soundfile.write(root / f"clips/common_voice_fr_{clip}.mp3", wave, 48000)
    for table, rows in CLIPS.items():
        write_lines(root / f"{table}.tsv", [HEADER, *(table_line(*row) for row in rows)])
    return root


def opened(path):
    manifest = Manifest.open(path, JOB_COLUMNS["s2t"])
    assert verify(manifest, progress=False).total_problems == 0
    return manifest


def test_the_official_splits(corpus, tmp_path):
    out = tmp_path / "out"
    sizes = prepare_common_voice(corpus, out, normaliser="none")
    assert [(size.split, size.rows, size.speakers, size.without) for size in sizes] == [
        ("train", 3, 2, 0), ("valid", 1, 1, 0), ("test", 1, 1, 0)
    ]  # fmt: skip
    assert opened(out / "train.tsv").row(0) == {"path": "clips/common_voice_fr_1.mp3", "samples": 8000}
    assert (out / "train.txt").read_text().splitlines() == [sentence for *_, sentence in CLIPS["train"]]
    assert (out / "speakers.tsv").read_text().splitlines()[2] == "clips/common_voice_fr_3.mp3\tbob"


def test_validated_clips_without_those_that_are_held_out(corpus, tmp_path):
    tables = {**TABLES, "train": "validated"}
    sizes = prepare_common_voice(corpus, tmp_path / "out", tables=tables, vocabulary=NO_VOCABULARY)
    assert sizes[0].rows == 3
    assert sizes[0].left_out == {"in a held-out split": 2, "speaker of a held-out split": 1}
    tables["valid"] = None
    with pytest.raises(ValueError, match="valid.tsv: this run made no valid, and 1 of the 1 .* are in train.tsv now"):
        prepare_common_voice(corpus, tmp_path / "out", tables=tables, vocabulary=NO_VOCABULARY)


def test_clips_are_decoded_once(corpus, tmp_path, monkeypatch):
    options = {"audio_format": "flac", "vocabulary": NO_VOCABULARY}
    prepare_common_voice(corpus, tmp_path / "out", **options)
    manifest = opened(tmp_path / "out/train.tsv")
    assert manifest.path(0) == tmp_path / "out/audio/clips/common_voice_fr_1.flac"
    assert soundfile.info(manifest.path(0)).samplerate == 16000
    assert "clips/common_voice_fr_3.flac\tbob" in (tmp_path / "out/speakers.tsv").read_text()
    manifest.path(1).unlink()
    written, real = [], segments.write_audio
    monkeypatch.setattr(segments, "write_audio", lambda path, wave: written.append(path.name) or real(path, wave))
    prepare_common_voice(corpus, tmp_path / "out", **options)
    assert written == ["common_voice_fr_2.flac"]


def test_broken_clips_and_rows_are_left_out(corpus, tmp_path):
    path = corpus / "clips/common_voice_fr_1.mp3"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (corpus / "clips/common_voice_fr_2.mp3").unlink()
    with open(corpus / "train.tsv", "a", encoding="utf-8") as file:
        file.write(table_line("bob", 3, "Ça va ?") + "\n")
    for audio_format in ("mp3", "wav"):
        sizes = prepare_common_voice(
            corpus, tmp_path / audio_format, audio_format=audio_format, vocabulary=NO_VOCABULARY
        )
        assert sizes[0].rows == 1
        assert sizes[0].left_out == {"listed twice": 1, "unreadable": 1, "no such file": 1}


def test_the_command_ends_with_summary_and_check(corpus, tmp_path, capsys):
    line = ["--corpus", str(corpus), "--out", str(tmp_path / "out"), "--jobs", "1"]
    common_voice.main([*line, "--test", "--train", "validated", "--max-seconds", "20"])
    printed = capsys.readouterr().out
    assert "all good" in printed and "left out of train: 1 in a held-out split" in printed
    assert not (tmp_path / "out/test.tsv").exists()


def test_mistakes_are_named(corpus, tmp_path):
    with pytest.raises(
        FileNotFoundError, match="train.tsv: no such table. .*cv-corpus holds fr/; give --corpus the folder"
    ):
        common_voice.read_clips(corpus.parent, "train")
    with pytest.raises(FileNotFoundError, match="no folder .*cv-corpus/clips; it should hold the clips"):
        prepare_common_voice(corpus.parent, tmp_path / "out")
    with pytest.raises(ValueError, match="--audio-format 'ogg': choose one of flac, wav"):
        prepare_common_voice(corpus, tmp_path / "out", audio_format="ogg")
    with pytest.raises(ValueError, match="--train, --valid, --test dev dev test: give each split a table"):
        prepare_common_voice(corpus, tmp_path / "out", tables={**TABLES, "train": "dev"})
    write_lines(corpus / "dev.tsv", ["client_id\tpath", "ann\ta.mp3"])
    with pytest.raises(ValueError, match="dev.tsv:1: 0 columns 'sentence' in client_id, path"):
        prepare_common_voice(corpus, tmp_path / "out")
