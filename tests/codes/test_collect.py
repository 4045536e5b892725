"""Codes of a tiny checkpoint: those of its model, alone and in a batch, of pieces and of raw text."""

import numpy as np
import pytest
import torch
from helpers import tiny_model, tiny_piece_model, write_lines

from speecht5_fairseq.codes.collect import collect, load_quantizing, open_split
from speecht5_fairseq.data.errors import ManifestError
from speecht5_fairseq.data.manifest import write_manifest

CPU = torch.device("cpu")
COUNT = 9  # of conftest


def opened(data, spm_model=None, folder=None):
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
        opened(data, folder=tmp_path)
