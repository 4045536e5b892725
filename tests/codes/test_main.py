"""The command on a tiny checkpoint: what it prints, writes and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import tiny_checkpoint
from helpers import tiny_manifest, tiny_model, tiny_piece_model, write_lines

from speecht5_fairseq.codes.__main__ import main
from speecht5_fairseq.codes.collect import collect, load_quantizing, open_split
from speecht5_fairseq.data.errors import ManifestError
from speecht5_fairseq.data.manifest import write_manifest
from speecht5_fairseq.models.errors import CheckpointError

CPU = torch.device("cpu")
COUNT = 9


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("codes")
    tiny_manifest(folder, COUNT, split="valid")
    tiny_checkpoint(folder / "pretrain.pt", "pretrain")
    return folder


def command(data: Path, *options: object, checkpoint: Path | None = None, folder: Path | None = None) -> None:
    arguments = [checkpoint or data / "pretrain.pt", "--data", folder or data, "--split", "valid", "--device", "cpu"]
    main([str(argument) for argument in (*arguments, *options)])


def opened(data: Path, spm_model: Path | None = None, folder: Path | None = None):
    loaded = load_quantizing(data / "pretrain.pt", device=CPU, dictionary=None)
    manifest = (folder or data) / "valid.tsv"
    return loaded, open_split(manifest, manifest.parent, loaded, spm_model=spm_model, audio_root=None)


def test_codes_are_those_of_the_model_in_a_batch_and_alone(data):
    loaded, dataset = opened(data)
    found = collect(loaded, dataset, device=CPU, keep=[2])
    assert [pair.row for pair in found] == list(range(COUNT))
    model = tiny_model("pretrain", seed=1).eval()
    rows = [dataset[row] for row in range(COUNT)]
    batch = dataset.collater(rows)["net_input"]
    texts = torch.full((COUNT, 20), loaded.dictionary.pad())
    for text, item in zip(texts, rows, strict=True):
        text[: len(item.target) + 1] = torch.tensor([loaded.dictionary.bos(), *item.target])
    with torch.no_grad():
        heard = model.encode(waveform=batch["waveform"], sample_lengths=batch["sample_lengths"])
        read = model.encode(source_tokens=texts)
    for row, pair in enumerate(found):
        letters = rows[row].target[:-1]
        assert pair.letters.tolist() == letters.tolist()
        states_of = (heard.states[row, : heard.lengths[row]], read.states[row, 1 : len(letters) + 1])
        for side, states in zip((pair.speech, pair.text), states_of, strict=True):
            codes = model.quantizer.codes(states)
            assert side.codes.tolist() == codes.tolist()
            np.testing.assert_allclose(side.mean_state, states.mean(0), atol=1e-5)
            np.testing.assert_allclose(side.mean_vector, model.quantizer.vectors(codes).mean(0).detach(), atol=1e-5)
            assert (side.states is not None) == (row == 2)
    np.testing.assert_allclose(found[2].speech.states, heard.states[2, : heard.lengths[2]], atol=1e-5)


def test_an_utterance_does_not_know_of_the_others(data, tmp_path):
    lines = (data / "valid.tsv").read_text().splitlines()
    write_lines(tmp_path / "valid.tsv", [lines[0], lines[4]])
    write_lines(tmp_path / "valid.txt", [(data / "valid.txt").read_text().splitlines()[3]])
    among = collect(*opened(data), device=CPU, keep=[3])[3]
    alone = collect(*opened(data, folder=tmp_path), device=CPU, keep=[0])[0]
    for one, other in ((among.speech, alone.speech), (among.text, alone.text)):
        assert all(np.array_equal(*arrays) for arrays in zip(one, other, strict=True))


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
    assert found["crossing"]["row"] == 4 and 0 <= found["crossing"]["everywhere"] <= found["crossing"]["on_path"] <= 1
    assert found["retrieval"]["chance"]["first"] == pytest.approx(1 / found["retrieval"]["texts"])
    for name, pooled in found["retrieval"]["pooled"].items():
        assert name in printed.out and pooled["first"]["low"] <= pooled["first"]["value"] <= pooled["first"]["high"]
    assert found["codes"]["group 1"]["information"]["speech"]["p_value"] >= 1 / 6
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


def test_raw_text_with_a_sentencepiece_model(data, tmp_path):
    pieces = [line.split() for line in (data / "valid.txt").read_text(encoding="utf-8").splitlines()]
    lines = (data / "valid.tsv").read_text().splitlines()
    write_manifest(tmp_path / "valid.tsv", data / lines[0], [line.split("\t") for line in lines[1:]])
    write_lines(tmp_path / "valid.txt", ["".join(line).strip("▁") for line in pieces])
    spm_model = tiny_piece_model(tmp_path / "spm.model")
    given = [dataset[row].target.tolist() for dataset in (opened(data)[1],) for row in range(COUNT)]
    raw = [dataset[row].target.tolist() for dataset in (opened(data, spm_model, tmp_path)[1],) for row in range(COUNT)]
    assert raw == given
    with pytest.raises(ManifestError, match=r"valid\.txt:1: the dictionary of .* has none of its .*--spm-model"):
        command(data, folder=tmp_path)


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
        (["--draws", -1], "--draws -1, --top 20: give 0 or more"),
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
