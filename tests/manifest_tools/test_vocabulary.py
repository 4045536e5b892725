"""Vocabulary: model and dictionary agree, whatever the number of processes, and after a stop."""

import io

import pytest
from helpers import write_lines

from manifest_tools import blocks, vocabulary
from manifest_tools.vocabulary import encode, train_vocabulary
from speecht5_fairseq.data.dictionary import load_text_dictionary
from speecht5_fairseq.data.errors import ManifestError
from speecht5_fairseq.data.piece_model import load_sentencepiece

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


def test_big_text_is_counted_and_encoded_by_several_processes(corpus, tmp_path, monkeypatch, capsys):
    train_vocabulary([corpus], tmp_path / "one")
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 50)
    train_vocabulary([corpus], tmp_path / "two", n_jobs=2)
    for name in ("dict.txt", "spm.model", "spm.vocab", "vocabulary.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    arguments = ["encode", "--model", str(tmp_path / "two/spm.model"), "--text", str(corpus), "--jobs", "2"]
    vocabulary.main([*arguments, "--out", str(tmp_path / "pieces.txt")])
    expected = list(encode(tmp_path / "two/spm.model", SENTENCES))
    assert (tmp_path / "pieces.txt").read_text().splitlines() == expected
    progress = capsys.readouterr().err
    assert all(f"{what}: 100%" in progress for what in ("read text", "count pieces", "encode"))


def test_a_stopped_run_does_not_train_twice(corpus, tmp_path, monkeypatch):
    train_vocabulary([corpus], tmp_path / "straight")
    with monkeypatch.context() as patch:
        patch.setattr(vocabulary, "_piece_lines", None)  # the run ends after training
        with pytest.raises(TypeError):
            train_vocabulary([corpus], tmp_path / "out")
    train = vocabulary._train_sentencepiece
    monkeypatch.setattr(vocabulary, "_train_sentencepiece", None)  # calling it would fail
    with pytest.raises(TypeError):
        train_vocabulary([corpus], tmp_path / "out", coverage=0.95)  # that is another model
    monkeypatch.setattr(vocabulary, "_train_sentencepiece", train)
    train_vocabulary([corpus], tmp_path / "out")
    assert not (tmp_path / "out/.trained.json").exists()
    assert (tmp_path / "out/dict.txt").read_bytes() == (tmp_path / "straight/dict.txt").read_bytes()


def test_a_sample_trains_and_all_text_counts(tmp_path, caplog):
    text = write_lines(tmp_path / "raw.txt", [f"{'abcdefgh'[number % 8]}" for number in range(800)] + ["z"])
    train_vocabulary([text], tmp_path / "all")
    train_vocabulary([text], tmp_path / "some", sample=0.2)
    assert (tmp_path / "all/spm.model").read_bytes() != (tmp_path / "some/spm.model").read_bytes()
    counts = dict(line.split() for line in (tmp_path / "some/dict.txt").read_text().splitlines())
    assert [counts[letter] for letter in "abcdefgh"] == ["100"] * 8 and "z" not in counts
    assert "0.0624% of the pieces of the text are unknown" in caplog.text and len(caplog.records) == 1
    assert "sample" not in (tmp_path / "all/vocabulary.json").read_text()  # as it was before there was a choice
    with pytest.raises(ValueError, match="--sample 0: a share"):
        train_vocabulary([text], tmp_path / "none", sample=0)


def test_text_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "latin.txt").write_bytes("the \u00e9t\u00e9".encode("latin-1"))
    with pytest.raises(ValueError, match="latin.txt: not UTF-8 .*at byte 4.; convert it"):
        train_vocabulary([tmp_path / "latin.txt"], tmp_path / "out")
