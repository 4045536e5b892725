"""The page and the JSON of what has no chance beside it, and of a codebook of one group."""

import json

import numpy as np

from speecht5_fairseq.codes.alignment import EVEN
from speecht5_fairseq.codes.analysis import Book, analyse
from speecht5_fairseq.codes.report import as_json, page, write_table

SYMBOLS = list("abcdefghijkl")


def one_group(pairs):
    """With the first group's codes alone."""
    return [
        pair._replace(
            **{
                name: side._replace(codes=side.codes[:, :1])
                for name, side in (("speech", pair.speech), ("text", pair.text))
            }
        )
        for pair in pairs
    ]


def test_one_group_has_entries_and_no_pairs(pairs, tmp_path):
    given = one_group(pairs(lambda letters: letters))
    found = analyse(given, Book(1, 12, SYMBOLS), alignment=EVEN, draws=3)
    told = page(found, top=2)
    assert (
        list(found.views) == ["entries"]
        and "group" not in told
        and "pairs" not in told
        and "histograms of entries" in told
    )
    assert "entries: the 2 that speech and text share most, of 12" in told
    letter = next(line for line in told.splitlines() if line.endswith(" 100%"))
    assert letter.split()[-2] == letter.split()[-4] == SYMBOLS[int(letter.split()[0])]  # in text and in speech
    write_table(tmp_path / "codes.tsv", found)
    rows = [line.split("\t") for line in (tmp_path / "codes.tsv").read_text().splitlines()[1:]]
    assert [row[:2] for row in rows] == [["entries", str(entry)] for entry in range(12)]
    assert all(row[6] == row[7] == f"{SYMBOLS[int(row[1])]} 100%" for row in rows)


def test_codes_that_share_nothing(pairs):
    given = one_group(pairs(lambda letters: letters // 2))
    moved = [pair._replace(text=pair.text._replace(codes=pair.text.codes + 12)) for pair in given]
    told = page(analyse(moved, Book(1, 24, SYMBOLS * 2), alignment=EVEN, draws=3), top=5)
    assert "entries: none that speech and text share" in told and "0 of 0        -        -" in told


def test_without_others_there_are_no_numbers(pairs):
    found = analyse(pairs(lambda letters: letters, count=1), Book(2, 12, SYMBOLS), alignment=EVEN, draws=0)
    told, numbers = page(found, top=1), as_json(found, None)
    assert "nan" not in told and json.loads(json.dumps(numbers, allow_nan=False)) == numbers
    assert numbers["codes"]["pairs"]["bits"]["speech"]["chance"] is None and numbers["crossing"] is None
    assert numbers["retrieval"]["pooled"]["lengths alone"]["first"] == {
        "value": 1.0,
        "low": None,
        "high": None,
        "count": 1,
    }
    assert np.isclose(numbers["codes"]["pairs"]["sharing"]["overlap"], 1.0)
