"""Vocabulary and text corpus: model, dictionary and binary agree."""

import io

import pytest
import torch
from helpers import write_lines

from manifest_tools import text_corpus, vocabulary
from manifest_tools.text_corpus import prepare_text_corpus
from manifest_tools.vocabulary import encode, train_vocabulary
from speecht5_fairseq.data.dictionary import load_text_dictionary
from speecht5_fairseq.data.errors import ManifestError
from speecht5_fairseq.data.labels import load_sentencepiece
from speecht5_fairseq.data.pretrain_text import open_text_binary

SENTENCES = [
    "the cat sat on the mat",
    "the été is çà and là",
    "don't press the star key",
    "to hear the next message press six",
    "señor mañana",
] * 4


@pytest.fixture
def corpus(tmp_path):
    return write_lines(tmp_path / "raw.txt", SENTENCES)


@pytest.mark.parametrize(("model_type", "size"), [("char", None), ("unigram", 34), ("bpe", 60)])
def test_dictionary_goes_with_the_model(corpus, tmp_path, model_type, size):
    entries = train_vocabulary([corpus], tmp_path / "out", model_type=model_type, size=size)
    processor = load_sentencepiece(tmp_path / "out/spm.model")
    dictionary = load_text_dictionary(tmp_path / "out/dict.txt")
    assert size is None or processor.get_piece_size() == size
    assert entries == processor.get_piece_size() - 3
    pieces = [processor.id_to_piece(index) for index in range(3, processor.get_piece_size())]
    assert dictionary.symbols[4:-2] == pieces
    assert not {"<unk>", "<s>", "</s>"} & set(pieces)
    for sentence, encoded in zip(SENTENCES, encode(tmp_path / "out/spm.model", SENTENCES), strict=True):
        assert dictionary.unk() not in dictionary.encode_line(encoded, add_if_not_exist=False).tolist()
        assert "".join(encoded.split()).replace("▁", " ").strip() == sentence


def test_counts_are_those_of_the_text(corpus, tmp_path):
    train_vocabulary([corpus], tmp_path / "out")
    counts = dict(line.rsplit(" ", 1) for line in (tmp_path / "out/dict.txt").read_text().splitlines())
    assert int(counts["ñ"]) == "".join(SENTENCES).count("ñ")
    assert int(counts["▁"]) == sum(len(sentence.split()) for sentence in SENTENCES)


def test_the_same_every_time_and_not_twice(corpus, tmp_path, monkeypatch):
    for name in ("a", "b"):
        train_vocabulary([corpus], tmp_path / name, model_type="unigram", size=34, label_dirs=[tmp_path / "labels"])
    for name in ("dict.txt", "spm.model", "spm.vocab"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "labels/dict.txt").read_bytes() == (tmp_path / "a/dict.txt").read_bytes()
    monkeypatch.setattr(vocabulary, "_train_sentencepiece", None)  # calling it would fail
    train_vocabulary([corpus], tmp_path / "a", model_type="unigram", size=34)
    with pytest.raises(ValueError, match="other text or options; choose another --out"):
        train_vocabulary([corpus], tmp_path / "a", model_type="unigram", size=35)


def test_dictionaries_in_use_are_not_replaced(corpus, tmp_path):
    write_lines(tmp_path / "labels.txt", ["a 1"]).rename(tmp_path / "dict.txt")
    with pytest.raises(ValueError, match="was not made here"):
        train_vocabulary([corpus], tmp_path)
    with pytest.raises(ValueError, match="--label-dirs: .* is another dictionary"):
        train_vocabulary([corpus], tmp_path / "out", label_dirs=[tmp_path])
    assert (tmp_path / "dict.txt").read_text() == "a 1\n"


def test_options_are_checked(corpus, tmp_path):
    with pytest.raises(ValueError, match="--size is needed for --type bpe"):
        train_vocabulary([corpus], tmp_path / "out", model_type="bpe")
    with pytest.raises(ValueError, match="choose one of char, unigram, bpe"):
        train_vocabulary([corpus], tmp_path / "out", model_type="word")
    with pytest.raises(ValueError, match="--symbols <mask>"):
        train_vocabulary([corpus], tmp_path / "out", symbols=["<mask>"])
    with pytest.raises(FileNotFoundError, match="absent.txt"):
        train_vocabulary([tmp_path / "absent.txt"], tmp_path / "out")
    with pytest.raises(ValueError, match="--size 5000"):
        train_vocabulary([corpus], tmp_path / "out", model_type="unigram", size=5000)
    assert not (tmp_path / "out/dict.txt").exists()


def test_encode_command(corpus, tmp_path, monkeypatch, capsys):
    train_vocabulary([corpus], tmp_path / "out", symbols=["<breath>"])
    monkeypatch.setattr("sys.stdin", io.StringIO("the <breath> cat\nß\n"))
    vocabulary.main(["encode", "--model", str(tmp_path / "out/spm.model")])
    assert capsys.readouterr().out == "▁ t h e ▁ <breath> ▁ c a t\n▁ ß\n"
    with pytest.raises(ManifestError, match="absent.model: no sentencepiece model; .*manifest_tools.vocabulary train"):
        list(encode(tmp_path / "absent.model", ["the cat"]))


def test_text_corpus_loads_as_pretraining_reads_it(corpus, tmp_path, monkeypatch):
    out, text = tmp_path / "vocabulary", tmp_path / "text"
    train_vocabulary([corpus], out)
    valid = write_lines(tmp_path / "valid.txt", ["the mat", "", "six"])
    files = {"spm_model": out / "spm.model", "dictionary": out / "dict.txt", "out": text}
    sentences = prepare_text_corpus([corpus], **files, valid=[valid])
    assert sentences == {"train": len(SENTENCES), "valid": 2}
    dictionary = load_text_dictionary(text / "dict.txt")
    binary = open_text_binary(text, "valid", dictionary)
    assert dictionary.string(torch.as_tensor(binary[0])) == "▁ t h e ▁ m a t" and int(binary[0][-1]) == dictionary.eos()
    assert (text / "dict.txt").read_bytes() == (out / "dict.txt").read_bytes()
    monkeypatch.setattr(text_corpus, "_preprocess", None)  # calling it would fail
    assert prepare_text_corpus([corpus], **files, valid=[valid]) == sentences
    assert sorted(path.name for path in text.iterdir()) == [
        "dict.txt", "text_corpus.json", "train.bin", "train.idx", "valid.bin", "valid.idx",
    ]  # fmt: skip


def test_validation_text_is_never_trained_on(tmp_path):
    sentences = [f"sentence number {number % 50} of few" for number in range(200)]
    pytest.importorskip("num2words")
    corpus = write_lines(tmp_path / "raw.txt", sentences)
    train_vocabulary([write_lines(tmp_path / "letters.txt", ["abcdefghijklmnopqrstuvwxyz"])], tmp_path / "vocabulary")
    folder = tmp_path / "pieces"
    folder.mkdir()
    counts = text_corpus._write_pieces(folder, [corpus], [], 0.3, tmp_path / "vocabulary/spm.model", "en")
    train, valid = (set((folder / f"{split}.pieces").read_text().splitlines()) for split in ("train", "valid"))
    assert train and valid and not train & valid
    assert sum(counts.values()) == 200 and len(train) + len(valid) == 50
    assert not any(character.isdigit() for line in train | valid for character in line)


def test_text_corpus_errors(corpus, tmp_path):
    train_vocabulary([corpus], tmp_path / "vocabulary")
    files = {"spm_model": tmp_path / "vocabulary/spm.model", "dictionary": tmp_path / "vocabulary/dict.txt"}
    with pytest.raises(FileNotFoundError, match="absent.txt: no such file"):
        prepare_text_corpus([tmp_path / "absent.txt"], **files, out=tmp_path / "text")
    with pytest.raises(ValueError, match="no sentence for the valid split"):
        prepare_text_corpus([corpus], **files, out=tmp_path / "text", valid_fraction=0.0)
    assert not list((tmp_path / "text").iterdir())
