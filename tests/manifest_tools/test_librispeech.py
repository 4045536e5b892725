"""LibriSpeech, and its language-model text, in small folders of the same layout."""

import gzip

import pytest
import soundfile
from helpers import write_lines, write_speech

from manifest_tools import librispeech, librispeech_text
from manifest_tools.check import check_data
from manifest_tools.label_vocabulary import NO_VOCABULARY, VocabularyOptions
from manifest_tools.librispeech import prepare_librispeech
from manifest_tools.librispeech_text import prepare_librispeech_text
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest

CHAPTERS = {"train-clean-100": ("19/198", "26/495"), "dev-clean": ("84/121123",), "test-clean": ("61/70968",)}
OPTIONS = {"train": ["train-clean-100"], "splits": ["dev-clean", "test-clean"]}
TEXTS = ("NORTHANGER ABBEY", "THIS LITTLE WORK", "WAS FINISHED IN THE YEAR")


@pytest.fixture
def corpus(tmp_path):
    root = tmp_path / "LibriSpeech"
    for number, (part, chapter) in enumerate((p, c) for p, chapters in CHAPTERS.items() for c in chapters):
        folder, name = root / part / chapter, chapter.replace("/", "-")
        for row, (wav, _) in enumerate(write_speech(folder, 3, seed=number)):
            soundfile.write(folder / f"{name}-{row:04d}.flac", *soundfile.read(folder / wav))
            (folder / wav).unlink()
        write_lines(folder / f"{name}.trans.txt", [f"{name}-{row:04d} {text}" for row, text in enumerate(TEXTS)])
    return root


def test_parts_become_splits_with_their_transcripts(corpus, tmp_path):
    out = tmp_path / "out"
    sizes = prepare_librispeech(corpus, out, **OPTIONS)
    assert [(size.split, size.rows, size.speakers, size.without) for size in sizes] == [
        ("train", 6, 2, 0), ("dev-clean", 3, 1, 0), ("test-clean", 3, 1, 0)
    ]  # fmt: skip
    manifest = Manifest.open(out / "train.tsv", JOB_COLUMNS["pretrain"])
    assert manifest.row(3)["path"] == "train-clean-100/26/495/26-495-0000.flac" and manifest.root == corpus
    assert (out / "train.txt").read_text().splitlines() == [text.lower() for text in TEXTS] * 2
    findings = check_data(
        "s2t", out, splits=[s.split for s in sizes], spm_model=out / "vocabulary/spm.model", progress=False
    )
    assert not findings.errors and not any(report.unknown for report in findings.reports)


def test_some_of_the_training_recordings_validate(corpus, tmp_path):
    options = {"train": ["train-clean-100"], "splits": [], "vocabulary": NO_VOCABULARY, "case": "upper"}
    sizes = prepare_librispeech(corpus, tmp_path / "out", valid_fraction=0.4, **options)
    assert [size.split for size in sizes] == ["train", "valid"] and sum(size.rows for size in sizes) == 6
    assert set((tmp_path / "out/valid.txt").read_text().splitlines()) <= set(TEXTS)
    assert not (tmp_path / "out/dict.txt").exists()
    with pytest.raises(ValueError, match="valid.tsv: this run made no valid, and .* are in train.tsv now"):
        prepare_librispeech(corpus, tmp_path / "out", **options)


def test_a_part_that_was_held_out_and_trains_now_is_told(corpus, tmp_path):
    options = {"splits": ["test-clean"], "vocabulary": NO_VOCABULARY}
    prepare_librispeech(corpus, tmp_path, train=[], **(options | {"splits": ["dev-clean"]}))
    prepare_librispeech(corpus, tmp_path, train=["train-clean-100"], **options)
    with pytest.raises(ValueError, match="dev-clean.tsv: this run made no dev-clean, and 3 of the 3 .* are in train"):
        prepare_librispeech(corpus, tmp_path, train=["train-clean-100", "dev-clean"], **options)


def test_what_is_broken_or_missing_is_listed_and_the_rest_kept(corpus, tmp_path):
    folder = corpus / "train-clean-100/19/198"
    whole = (folder / "19-198-0000.flac").read_bytes()
    (folder / "19-198-0000.flac").write_bytes(whole[: len(whole) // 2])
    (folder / "19-198-0001.flac").unlink()
    write_lines(corpus / "test-clean/61/70968/61-70968.trans.txt", [f"61-70968-000{n} {TEXTS[n]}" for n in (0, 2)])
    sizes = prepare_librispeech(corpus, tmp_path / "out", **OPTIONS)
    assert [(size.rows, size.left_out) for size in sizes] == [
        (4, {"unreadable": 1, "no such file": 1}), (3, {}), (2, {"no transcript": 1})
    ]  # fmt: skip
    listed = (tmp_path / "out/left_out/train.tsv").read_text()
    assert "19-198-0000.flac: " in listed and "train-clean-100/19/198/19-198-0001.flac\tno such file" in listed


def test_the_command_ends_with_summary_and_check(corpus, tmp_path, capsys):
    line = ["--corpus", str(corpus), "--out", str(tmp_path / "out"), "--jobs", "1", "--train", "train-clean-100"]
    librispeech.main([*line, "--splits", "dev-clean", "--max-seconds", "0.4"])
    printed = capsys.readouterr().out
    assert "all good" in printed and "left out of train: " in printed and "too long" in printed
    with pytest.raises(FileNotFoundError, match=r"no folder .*/dev-other; .*LibriSpeech holds dev-clean/, test-clean/"):
        librispeech.main(line)


def test_mistakes_are_named(corpus, tmp_path):
    def refused(kind, message, **options):
        with pytest.raises(kind, match=message):
            prepare_librispeech(corpus, tmp_path / "out", **{**OPTIONS, **options})

    refused(ValueError, "--case 'title': choose one of lower, upper", case="title")
    refused(ValueError, "--valid-fraction 1: give a share", valid_fraction=1.0)
    refused(ValueError, "--splits dev-clean: in --train too", train=["dev-clean"])
    refused(ValueError, "neither --train nor --splits names a part", train=[], splits=[])
    refused(ValueError, "without a train split there is no text", train=[])
    refused(ValueError, "no recording of train is left of 6, see .*left_out/train.tsv; the first: ", min_seconds=9)
    (corpus / "empty").mkdir()
    refused(FileNotFoundError, r"empty: no SPEAKER/CHAPTER/\*.flac in it. .*empty is empty; unpack", splits=["empty"])
    write_lines(corpus / "dev-clean/84/121123/84-121123.trans.txt", ["84-121123-0000 GO", "84-121124-0001 ON"])
    refused(ValueError, r"84-121123.trans.txt:2: '84-121124-0001 ON' is not `NAME TEXT` of this chapter")
    (corpus / "train-clean-100/stray.flac").write_bytes(b"")
    refused(ValueError, "train-clean-100/stray.flac: not PART/SPEAKER/CHAPTER")


def lm_text(path, sentences):
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(f"{sentence}\n" for sentence in sentences)
    return path


def test_language_model_text(tmp_path, capsys, monkeypatch):
    text = lm_text(
        tmp_path / "librispeech-lm-norm.txt.gz", ["A  SENTENCE ", "", *(f"{word} AND SO ON" for word in TEXTS * 40)]
    )
    line = [
        "--text",
        str(text),
        "--out",
        str(tmp_path / "lm"),
        "--jobs",
        "1",
        "--valid-fraction",
        "0.2",
        "--sample",
        "1",
    ]
    librispeech_text.main(line)
    printed = capsys.readouterr().out
    assert "all good" in printed and "0.00%" in printed
    assert (tmp_path / "lm/text.txt").read_text().splitlines()[:2] == ["a sentence", "northanger abbey and so on"]
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "lm").rglob("*") if path.is_file()}
    monkeypatch.setattr(librispeech_text, "read_text", None)  # what is there is not read again
    librispeech_text.main(line)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert (tmp_path / "lm/train.bin") in stamps and (tmp_path / "lm/vocabulary/spm.model") in stamps


def test_plain_text_with_a_given_vocabulary(tmp_path):
    text = write_lines(tmp_path / "text.txt", [f"ONE {chr(65 + number % 26)} TWO {number}" for number in range(60)])
    prepare_librispeech_text(text, tmp_path / "a", sample=1.0, valid_fraction=0.2)
    given = VocabularyOptions(tmp_path / "a/vocabulary")
    prepare_librispeech_text(text, tmp_path / "b", vocabulary=given, valid_fraction=0.2)
    assert (tmp_path / "b/train.bin").read_bytes() == (tmp_path / "a/train.bin").read_bytes()
    assert not (tmp_path / "b/vocabulary").exists()
    with pytest.raises(ValueError, match="--sample has no effect with --vocabulary"):
        options = ["--text", str(text), "--out", str(tmp_path / "c"), "--sample", "0.1"]
        librispeech_text.main([*options, "--vocabulary", str(tmp_path / "a/vocabulary")])


def test_a_text_that_is_cut_off(tmp_path):
    text = lm_text(tmp_path / "lm.txt.gz", [f"{number} {number * 7919}" for number in range(5000)])
    text.write_bytes(text.read_bytes()[:9000])
    with pytest.raises(ValueError, match="lm.txt.gz: cut off, or no gzip"):
        prepare_librispeech_text(text, tmp_path / "out")
    assert not (tmp_path / "out/text.txt").exists()
    text.write_bytes(b"plain")
    with pytest.raises(ValueError, match="lm.txt.gz: cut off, or no gzip"):
        prepare_librispeech_text(text, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="no such file. .* holds lm.txt.gz, out/; give librispeech-lm-norm"):
        prepare_librispeech_text(tmp_path / "other.txt", tmp_path / "out")
