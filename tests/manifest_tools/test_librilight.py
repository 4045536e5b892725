"""Libri-Light, in a small folder of the same layout."""

import json

import numpy as np
import pytest
import soundfile

from manifest_tools import librilight, segments
from manifest_tools.librilight import Joining, join, prepare_librilight
from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest

RATE = 16000
JOINING = Joining(min_seconds=0.25, max_seconds=1.5, max_pause=0.25)
ACTIVITY = [[0.1, 0.6], [0.8, 1.3], [1.7, 1.8], [2.2, 3.9]]  # joined; a short one; one to be halved


@pytest.fixture
def corpus(tmp_path):
    root = tmp_path / "small"
    for number, name in enumerate(("100/emma_mp3/emma_01", "100/emma_mp3/emma_02", "233/ivanhoe/ivanhoe.1")):
        path = root / f"{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(number).uniform(-0.4, 0.4, 4 * RATE), RATE)
        meta = {"speaker": name[:3], "book_meta": {"id": "1"}, "snr": 5.0, "voice_activity": ACTIVITY}
        path.with_name(f"{path.stem}.json").write_text(json.dumps(meta))
    return root


def test_neighbours_are_joined_and_long_stretches_cut():
    assert join([(0, 1), (1.5, 2), (3.5, 4), (4.5, 30)], Joining(0.1, 10, 1)) == [
        (0, 2), (3.5, 4), (4.5, 13), (13, 21.5), (21.5, 30)
    ]  # fmt: skip
    assert join([(0, 6), (6.5, 12), (12, 13)], Joining(0.1, 10, 1)) == [(0, 6), (6.5, 13)]
    assert join([], Joining()) == []


def test_segments_are_stretches_of_their_chapters(corpus, tmp_path):
    sizes = prepare_librilight(corpus, tmp_path / "out", joining=JOINING, valid_fraction=0)
    seconds = 3 * (1.2 + 0.85 + 0.85)
    assert [(s.split, s.rows, s.speakers, s.left_out) for s in sizes] == [("train", 9, 2, {"too short": 3})]
    assert sizes[0].samples == round(seconds * RATE)
    manifest = Manifest.open(tmp_path / "out/train.tsv", JOB_COLUMNS["pretrain"])
    assert [manifest.row(row)["path"] for row in (0, 1, 2)] == [
        f"100/emma_mp3/emma_01_{number:04d}.flac" for number in (0, 2, 3)
    ]
    assert str(manifest.row(8)["path"]) == "233/ivanhoe/ivanhoe.1_0003.flac"
    chapter = read_audio(corpus / "100/emma_mp3/emma_01.flac")
    assert np.array_equal(read_audio(manifest.path(0)), chapter[1600:20800])
    assert np.array_equal(read_audio(manifest.path(2)), chapter[48800:62400])
    assert "emma_01_0001\ttoo short (0.100 s)" in (tmp_path / "out/left_out/train.tsv").read_text()


def test_speakers_who_were_held_out_and_train_now_are_told(corpus, tmp_path):
    prepare_librilight(corpus, tmp_path, joining=JOINING, valid_fraction=0.5)
    with pytest.raises(ValueError, match="valid.tsv: this run made no valid, and .* are in train.tsv now"):
        prepare_librilight(corpus, tmp_path, joining=JOINING, valid_fraction=0)


def test_segments_may_stay_in_their_chapters(corpus, tmp_path):
    for name in ("flac", "none"):
        prepare_librilight(corpus, tmp_path / name, joining=JOINING, valid_fraction=0, audio_format=name)
    cut, uncut = (Manifest.open(tmp_path / f"{name}/train.tsv", JOB_COLUMNS["pretrain"]) for name in ("flac", "none"))
    assert uncut.row(2) == {"path": "100/emma_mp3/emma_01.flac:48800:13600", "samples": 13600}
    assert uncut.samples.tolist() == cut.samples.tolist() and not (tmp_path / "none/audio").exists()
    for row in range(len(cut)):
        assert np.array_equal(read_audio(uncut.path(row)), read_audio(cut.path(row)))


def test_again_cuts_only_what_is_missing_or_changed(corpus, tmp_path, monkeypatch):
    prepare_librilight(corpus, tmp_path / "out", joining=JOINING, valid_fraction=0)
    written, real = [], segments.write_audio
    monkeypatch.setattr(segments, "write_audio", lambda path, wave: written.append(path.name) or real(path, wave))
    (tmp_path / "out/audio/100/emma_mp3/emma_02_0002.flac").unlink()
    prepare_librilight(corpus, tmp_path / "out", joining=JOINING, valid_fraction=0)
    assert written == ["emma_02_0002.flac"]
    (corpus / "233/ivanhoe/ivanhoe.1.json").write_text(json.dumps({"voice_activity": [[0.2, 1.4]]}))  # of one length
    prepare_librilight(corpus, tmp_path / "out", joining=JOINING, valid_fraction=0)
    assert written[1:] == ["ivanhoe.1_0000.flac"]


def test_segments_of_other_options_are_not_taken(corpus, tmp_path):
    longer = JOINING._replace(max_pause=0.5)
    prepare_librilight(corpus, tmp_path, joining=JOINING, valid_fraction=0)
    with pytest.raises(ValueError, match="audio has the segments of --max-seconds 1.5, --max-pause 0.25; give these"):
        prepare_librilight(corpus, tmp_path, joining=longer, valid_fraction=0)
    prepare_librilight(corpus, tmp_path, joining=longer, valid_fraction=0, audio_format="none")  # none is cut
    prepare_librilight(corpus, tmp_path, joining=JOINING._replace(min_seconds=0.5), valid_fraction=0)


def test_broken_chapters_are_left_out(corpus, tmp_path):
    (corpus / "100/emma_mp3/emma_01.flac").write_bytes(b"fLaC")
    (corpus / "100/emma_mp3/emma_02.json").write_text('{"voice_activity": [[0.4, 12')
    (size,) = prepare_librilight(corpus, tmp_path / "out", joining=JOINING, valid_fraction=0)
    assert size.rows == 3 and size.left_out == {"unreadable": 3, "too short": 2, "no stretches of speech": 1}
    assert "emma_02.flac\tno stretches of speech (emma_02.json: " in (tmp_path / "out/left_out/train.tsv").read_text()
    (corpus / "233/ivanhoe/ivanhoe.1.json").unlink()
    with pytest.raises(ValueError, match="no recording of train is left of"):
        prepare_librilight(corpus, tmp_path / "none", joining=JOINING, valid_fraction=0)


def test_whole_chapters_and_held_out_speakers(corpus, tmp_path, capsys):
    line = ["--corpus", str(corpus), "--out", str(tmp_path / "out"), "--jobs", "1", "--segments", "none"]
    librilight.main([*line, "--valid-fraction", "0.3"])
    assert "all good" in capsys.readouterr().out
    train, valid = (
        Manifest.open(tmp_path / f"out/{split}.tsv", JOB_COLUMNS["pretrain"]) for split in ("train", "valid")
    )
    speakers = [{str(m.row(i)["path"]).split("/")[0] for i in range(len(m))} for m in (train, valid)]
    assert len(train) + len(valid) == 3 and not speakers[0] & speakers[1] and train.root == corpus
    with pytest.raises(
        ValueError, match="--max-seconds, --max-pause, --audio-format have no effect with --segments none"
    ):
        librilight.main([*line, "--max-pause", "2"])


def test_mistakes_are_named(corpus, tmp_path):
    with pytest.raises(ValueError, match=r"small/100/emma_mp3/emma_01.flac: not SPEAKER/BOOK/NAME.flac, .*one part"):
        prepare_librilight(tmp_path, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        FileNotFoundError, match="empty: no SPEAKER/BOOK/NAME.flac in it. .*empty is empty; unpack a part"
    ):
        prepare_librilight(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(ValueError, match="--max-pause -1: give seconds"):
        prepare_librilight(corpus, tmp_path / "out", joining=Joining(max_pause=-1))
    with pytest.raises(ValueError, match="--segments 'all': choose one of vad, none"):
        prepare_librilight(corpus, tmp_path / "out", segments="all")
