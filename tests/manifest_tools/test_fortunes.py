"""Sentences out of files of fortunes."""

import pytest
from helpers import write_lines

from manifest_tools import fortunes
from manifest_tools.fortunes import main, prepare_fortunes, sentences_of

QUOTATIONS = """\
Out of sight is out of mind; what is
new is old.  Don't we know it?
\t\t-- A. Clough
%
The USA has 50 states. Ask J. Smith, Dr. Who or Mrs. Smith. Aaaargh, not you!
%
A penny saved--is "a penny"
  -- Franklin
%
"""


def test_sentences_have_nothing_but_words():
    assert list(sentences_of(QUOTATIONS)) == [
        "Out of sight is out of mind;",
        "what is new is old.",
        "Don't we know it?",
        "A penny saved",
        'is "a penny"',
    ]


def test_each_is_in_one_split_as_it_is_spoken(tmp_path):
    (tmp_path / "in").mkdir()
    write_lines(tmp_path / "in/sayings", [*QUOTATIONS.splitlines(), *(f"We said {word} times." for word in words())])
    write_lines(tmp_path / "in/sayings.dat", ["an index is not read"])
    write_lines(tmp_path / "in/perl", ["left out by its name"])
    options = {"folder": tmp_path / "in", "valid_fraction": 0.2, "test_fraction": 0.2}
    sizes = prepare_fortunes(tmp_path / "out", **options)
    texts = {split: (tmp_path / f"out/{split}.txt").read_text().splitlines() for split in sizes}
    together = [sentence for sentences in texts.values() for sentence in sentences]
    assert {split: len(sentences) for split, sentences in texts.items()} == sizes and min(sizes.values()) > 0
    assert len(set(together)) == len(together) == len(words()) + 5
    assert "don't we know it" in together and together != sorted(together)
    write_lines(tmp_path / "in/more", ["One more saying of old"])
    prepare_fortunes(tmp_path / "out", **options)
    again = {split: (tmp_path / f"out/{split}.txt").read_text().splitlines() for split in sizes}
    without = {split: [text for text in again[split] if text != "one more saying of old"] for split in sizes}
    assert without == texts  # more sentences move none of the others


def words():
    return [f"{first}{second}" for first in ("bad", "com", "den", "fil") for second in ("ar", "er", "ir", "or", "ur")]


def test_mistakes_are_named(tmp_path):
    (tmp_path / "in").mkdir()
    for options, error, message in (
        ({"folder": tmp_path / "no"}, FileNotFoundError, "--folder: no folder .*no; it should hold fortune files"),
        ({"folder": tmp_path / "in"}, ValueError, "no file of fortunes .*give --folder another folder"),
        ({"min_words": 4, "max_words": 3}, ValueError, "--min-words 4 and --max-words 3: give 1 <= min <= max"),
        ({"valid_fraction": 0.5, "test_fraction": 0.5}, ValueError, "give shares of at least 0, together below 1"),
    ):
        with pytest.raises(error, match=message):
            prepare_fortunes(tmp_path / "out", **options)


def test_debians_are_unpacked_once_by_default(tmp_path, monkeypatch, capsys):
    def unpack(packages, folder, *, mend):
        assert packages == ("fortunes", "fortunes-min") and "--folder" in mend
        (folder / fortunes.FOLDER).mkdir(parents=True)
        write_lines(folder / fortunes.FOLDER / "wisdom", ["All is well that ends."])
        return folder

    monkeypatch.setattr(fortunes, "unpack_packages", unpack)
    main(["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")])
    assert (tmp_path / "cache/debian-fortunes").is_dir() and "train" in capsys.readouterr().out
    assert (tmp_path / "out/train.txt").read_text() == "all is well that ends\n"
