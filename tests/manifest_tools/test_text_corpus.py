"""Text for pre-training: what is read back, shards and processes, stops, mistakes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import write_lines

from manifest_tools import blocks, parallel, text_binary, text_corpus
from manifest_tools.text_corpus import prepare_text_corpus
from manifest_tools.vocabulary import encode, train_vocabulary
from speecht5_fairseq.data.dictionary import load_text_dictionary
from speecht5_fairseq.data.pretrain_text import open_text_binary

SENTENCES = [f"the cat number {number % 13} sat on mat {number % 7}" for number in range(90)]
FILES = ["dict.txt", "text_corpus.json", "train.bin", "train.idx", "valid.bin", "valid.idx"]


@pytest.fixture
def corpus(tmp_path):
    return write_lines(tmp_path / "raw.txt", SENTENCES)


@pytest.fixture
def valid(tmp_path):
    return write_lines(tmp_path / "valid.txt", ["the mat", "", "a cat; two cats"])


@pytest.fixture
def model(corpus, tmp_path):
    """The options that name the model of `corpus`, which lacks the semicolon."""
    train_vocabulary([corpus], tmp_path / "vocabulary")
    return {"spm_model": tmp_path / "vocabulary/spm.model", "dictionary": tmp_path / "vocabulary/dict.txt"}


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def sentences_of(folder, split):
    dictionary = load_text_dictionary(folder / "dict.txt")
    binary = open_text_binary(folder, split, dictionary)
    assert all(int(row[-1]) == dictionary.eos() for row in binary)
    return [dictionary.string(torch.as_tensor(row)) for row in binary]


def test_it_loads_as_pretraining_reads_it(corpus, valid, model, tmp_path, monkeypatch):
    text = tmp_path / "text"
    sentences = prepare_text_corpus([corpus], **model, out=text, valid=[valid])
    assert sentences == {"train": len(SENTENCES), "valid": 2}
    assert sentences_of(text, "train") == list(encode(model["spm_model"], SENTENCES))
    assert sentences_of(text, "valid")[0] == "▁ t h e ▁ m a t"
    assert (text / "dict.txt").read_bytes() == model["dictionary"].read_bytes()
    monkeypatch.setattr(text_corpus, "encode_block", None)  # calling it would fail
    assert prepare_text_corpus([corpus], **model, out=text, valid=[valid]) == sentences
    assert sorted(path.name for path in text.iterdir()) == FILES


def test_equal_to_fairseq_preprocess(corpus, valid, model, tmp_path, monkeypatch, caplog):
    for split, path in (("train", corpus), ("valid", valid)):
        lines = [line for line in path.read_text().splitlines() if line]
        write_lines(tmp_path / f"{split}.pieces", list(encode(model["spm_model"], lines)))
    command = [sys.executable, "-m", "fairseq_cli.preprocess", "--only-source", "--destdir", str(tmp_path / "theirs")]
    command += ["--trainpref", str(tmp_path / "train.pieces"), "--validpref", str(tmp_path / "valid.pieces")]
    done = subprocess.run([*command, "--srcdict", str(model["dictionary"])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 700)
    caplog.set_level("INFO")
    prepare_text_corpus([corpus], **model, out=tmp_path / "ours", valid=[valid])
    for name in FILES:
        if name != "text_corpus.json":
            assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes(), name
    assert "valid: 26 tokens, 7.69% of them unknown" in caplog.text  # the semicolon and the w
    assert "26 tokens, 7.69% replaced" in done.stdout + done.stderr


def test_blocks_and_processes_change_nothing(corpus, model, tmp_path, monkeypatch, capsys):
    prepare_text_corpus([corpus], **model, out=tmp_path / "one", valid_fraction=0.3)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 600)
    prepare_text_corpus([corpus], **model, out=tmp_path / "two", valid_fraction=0.3, n_jobs=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert "encode: 100%" in capsys.readouterr().err


def test_several_small_files_start_no_process(corpus, valid, model, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel.joblib, "Parallel", None)  # calling it would fail
    prepare_text_corpus([corpus] * 9, **model, out=tmp_path / "text", valid=[valid], n_jobs=2)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 600)
    with pytest.raises(TypeError):
        prepare_text_corpus([corpus], **model, out=tmp_path / "text", valid=[valid], n_jobs=2)


def stop_at(shard, monkeypatch):
    """A run that ends when it comes to this shard; later runs go through. Returns the shards that were encoded."""
    encoded, encode = [], text_binary._encode

    def stopping(task, encoding, dictionary):
        if task.shard.stem == shard and shard not in encoded:
            encoded.append(shard)
            raise KeyboardInterrupt
        encoded.append(task.shard.stem)
        return encode(task, encoding, dictionary)

    monkeypatch.setattr(text_binary, "_encode", stopping)
    return encoded


def test_a_stopped_run_goes_on(corpus, valid, model, tmp_path, monkeypatch, caplog):
    prepare_text_corpus([corpus], **model, out=tmp_path / "straight", valid=[valid])
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 800)
    encoded, text = stop_at("000002", monkeypatch), tmp_path / "text"
    caplog.set_level("INFO")
    with pytest.raises(KeyboardInterrupt):
        prepare_text_corpus([corpus], **model, out=text, valid=[valid])
    assert not (text / "text_corpus.json").exists()
    prepare_text_corpus([corpus], **model, out=text, valid=[valid])
    assert encoded == ["000000", "000001", "000002", "000002", "000003", "000004"]
    assert "going on: 2 of 5 blocks were encoded before" in caplog.text
    assert contents(text) == contents(tmp_path / "straight")
    assert sorted(path.name for path in text.iterdir()) == FILES


def test_shards_of_other_text_or_options_are_not_taken(corpus, valid, model, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 800)
    encoded, text = stop_at("000002", monkeypatch), tmp_path / "text"
    with pytest.raises(KeyboardInterrupt):
        prepare_text_corpus([corpus], **model, out=text, valid=[valid])
    write_lines(corpus, [sentence.replace("cat", "mat") for sentence in SENTENCES])
    prepare_text_corpus([corpus], **model, out=text, valid=[valid])
    assert encoded[3:] == [f"{number:06d}" for number in range(5)]
    assert sentences_of(text, "train")[0] == "▁ t h e ▁ m a t ▁ n u m b e r ▁ 0 ▁ s a t ▁ o n ▁ m a t ▁ 0"
    assert sorted(path.name for path in text.iterdir()) == FILES


def test_validation_text_is_never_trained_on(tmp_path):
    pytest.importorskip("num2words")
    corpus = write_lines(tmp_path / "raw.txt", [f"sentence number {number % 50} of few" for number in range(200)])
    train_vocabulary([write_lines(tmp_path / "letters.txt", ["abcdefghijklmnopqrstuvwxyz"])], tmp_path / "vocabulary")
    model = {"spm_model": tmp_path / "vocabulary/spm.model", "dictionary": tmp_path / "vocabulary/dict.txt"}
    counts = prepare_text_corpus([corpus], **model, out=tmp_path / "text", valid_fraction=0.3, language="en")
    train, valid = (set(sentences_of(tmp_path / "text", split)) for split in ("train", "valid"))
    assert train and valid and not train & valid
    assert sum(counts.values()) == 200 and len(train) + len(valid) == 50
    assert not any(character.isdigit() for line in train | valid for character in line)


def test_mistakes_are_named(corpus, model, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.txt: no such file"):
        prepare_text_corpus([tmp_path / "absent.txt"], **model, out=tmp_path / "text")
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=f"--valid-fraction {share:g}: give a share between 0 and 1, or --valid"):
            prepare_text_corpus([corpus], **model, out=tmp_path / "text", valid_fraction=share)
    latin = tmp_path / "latin.txt"
    latin.write_bytes("the cat\ncaf\u00e9\n".encode("latin-1"))
    with pytest.raises(ValueError, match="latin.txt: not UTF-8 .*at byte 11"):
        prepare_text_corpus([latin], **model, out=tmp_path / "text")
    assert not (tmp_path / "text").exists()
    with pytest.raises(ValueError, match="no sentence for the valid split"):
        prepare_text_corpus([write_lines(tmp_path / "one.txt", ["the cat"])], **model, out=tmp_path / "text")


def test_a_line_that_cannot_be_read_is_named_and_costs_no_other_block(corpus, valid, model, tmp_path, monkeypatch):
    pytest.importorskip("num2words")
    write_lines(corpus, [*SENTENCES, "9" * 400, "the cat"])
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 800)
    with pytest.raises(ValueError, match=r"raw.txt:91: num2words cannot read the number '999.*correct the line, or"):
        prepare_text_corpus([corpus], **model, out=tmp_path / "text", valid=[valid], language="en")
    assert len(list((tmp_path / "text").glob(".blocks.*/*.npz"))) == 3


@pytest.mark.parametrize("name", ["train.bin", "valid.idx", "dict.txt"])
def test_a_file_that_is_gone_is_made_again(name, corpus, model, tmp_path):
    prepare_text_corpus([corpus], **model, out=tmp_path / "text")
    whole = contents(tmp_path / "text")
    (tmp_path / "text" / name).unlink()
    prepare_text_corpus([corpus], **model, out=tmp_path / "text")
    assert contents(tmp_path / "text") == whole


def test_blocks_are_whole_lines(tmp_path, monkeypatch):
    content = "one\r\ntwo\n\nfünf und zwanzig\nend without a line end"
    path, empty = tmp_path / "text.txt", tmp_path / "empty.txt"
    path.write_bytes(content.encode())
    empty.touch()
    for size in (*range(1, 12), 1000):
        monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
        found = blocks.blocks_of([Path(empty), path])
        assert [line for block in found for line in block.lines()] == content.splitlines()
        assert [block.start for block in found[1:]] == [block.end for block in found[:-1]]
        assert (len(found) == 1) == (size == 1000)
