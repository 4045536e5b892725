"""The command on a tiny checkpoint: what it prints, writes and refuses."""

import json
from pathlib import Path

import pytest
from checkpoints import tiny_checkpoint
from helpers import write_lines

from speecht5_fairseq.codes.__main__ import main
from speecht5_fairseq.data.errors import ManifestError
from speecht5_fairseq.models.errors import CheckpointError

COUNT = 9  # of conftest


def command(data: Path, *options: object, checkpoint: Path | None = None, folder: Path | None = None) -> None:
    arguments = [checkpoint or data / "pretrain.pt", "--data", folder or data, "--split", "valid", "--device", "cpu"]
    main([str(argument) for argument in (*arguments, *options)])


@pytest.mark.parametrize("alignment", ["even", "dtw"])
def test_everything_that_is_printed_and_written(alignment, data, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out, file = tmp_path / "out", tmp_path / "codes.json"
    command(data, "--alignment", alignment, "--draws", 5, "--out", out, "--row", 4, "--json", file, "--top", 3)
    printed = capsys.readouterr()
    found = json.loads(file.read_text())
    assert found["utterances"] == COUNT and found["alignment"] == alignment
    assert f"{COUNT} utterances: {found['frames']} frames of speech, {found['letters']} letters" in printed.out
    assert ("time warping" in printed.out) == (alignment == "dtw")
    assert "\nRow 4: share of the groups with the same entry" in printed.out
    assert found["crossing"]["row"] == 4 and 0 <= found["crossing"]["everywhere"] <= found["crossing"]["on_path"] <= 1
    assert found["retrieval"]["chance"]["first"] == pytest.approx(1 / found["retrieval"]["texts"])
    for name, pooled in found["retrieval"]["pooled"].items():
        assert name in printed.out and pooled["first"]["low"] <= pooled["first"]["value"] <= pooled["first"]["high"]
    assert found["codes"]["group 1"]["bits"]["speech"]["p_value"] >= 1 / 6
    assert {path.name for path in out.iterdir()} == {"codes.tsv", "row-4.png", "letters.png"}
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in out.glob("*.png"))
    assert [line.split()[1] for line in printed.err.splitlines() if line.startswith("wrote")] == [
        str(path) for path in (out / "codes.tsv", out / "row-4.png", out / "letters.png", file)
    ]
    check_table(out / "codes.tsv", found)


def check_table(path: Path, found: dict) -> None:
    """The table's sums are those of the page."""
    header, *rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    for kind, said in found["codes"].items():
        table = [dict(zip(header, row, strict=True)) for row in rows if row[0] == kind]
        assert sum(int(row["speech_count"]) for row in table) == found["frames"]
        assert sum(int(row["text_count"]) for row in table) == found["letters"]
        assert sum(float(row["text_share"]) for row in table) == pytest.approx(1, abs=1e-4)
        both = [row for row in table if row["speech_letters"] and row["text_letters"]]
        assert len(both) == said["sharing"]["both"] and len(table) == sum(list(said["sharing"].values())[:3])


def test_the_same_again(data, capsys):
    command(data, "--draws", 3)
    first = capsys.readouterr().out
    command(data, "--draws", 3)
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    "job, options, said",
    [
        ("s2t", {}, "a model of s2t has no quantizer, and so no codes; give a checkpoint of joint pre-training"),
        (
            "pretrain_speech",
            {},
            "was pre-trained on speech alone, and has no codes of text; give a checkpoint",
        ),
        ("pretrain", {"codebook_prob": 0.0}, r"has no quantizer \(trained with --codebook-prob 0\), and so no codes"),
    ],
)
def test_checkpoints_without_codes(job, options, said, data, tmp_path):
    checkpoint = tiny_checkpoint(tmp_path / "other.pt", job, **options)
    with pytest.raises(CheckpointError, match=said):
        command(data, checkpoint=checkpoint)


def test_splits_without_rows_and_without_transcripts(data, tmp_path):
    lines = (data / "valid.tsv").read_text().splitlines()
    write_lines(tmp_path / "valid.tsv", lines)
    with pytest.raises(ManifestError, match=r"valid\.txt: no text labels; write one line of text for each"):
        command(data, folder=tmp_path)
    write_lines(tmp_path / "valid.txt", ["A"])
    with pytest.raises(ManifestError, match=rf"1 label lines for the {COUNT} rows"):
        command(data, folder=tmp_path)
    write_lines(tmp_path / "valid.txt", ["A B"] * (COUNT - 1) + [""])
    with pytest.raises(ManifestError, match=rf"valid\.txt:{COUNT}: no text"):
        command(data, folder=tmp_path, checkpoint=None)
    write_lines(tmp_path / "valid.tsv", lines[:1])
    with pytest.raises(ManifestError, match=r"valid\.tsv.*no"):
        command(data, folder=tmp_path)


@pytest.mark.parametrize(
    "options, said",
    [
        (["--row", 1], "--row 1 has no effect without --out"),
        (["--out", "{folder}", "--row", COUNT], rf"--row {COUNT}: .*valid\.tsv has rows 0 to {COUNT - 1}"),
        (["--draws", -1], "--draws -1, --top 10: give 0 or more"),
        (["--out", "{folder}/file"], "file: is a file, and a folder is needed"),
    ],
)
def test_options_that_cannot_be(options, said, data, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=said):
        command(data, *(str(option).format(folder=tmp_path) for option in options))


def test_pictures_need_matplotlib(data, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="--out needs matplotlib: `pip install matplotlib`, or drop it"):
        command(data, "--out", tmp_path)
