"""Tables with named columns, of any order and quoting."""

import pytest
from helpers import write_lines

from manifest_tools.tables import Columns, read_entries, read_rows


def test_quotes_are_of_the_table_in_csv_and_of_the_text_in_tsv(tmp_path):
    wanted = {"path": "file", "text": "words"}
    comma = write_lines(tmp_path / "a.csv", ["id,words,file", '1,"Yes, ""so""",a.wav', "", "2,No,b.wav"])
    assert list(read_rows(comma, wanted)) == [
        (2, {"path": "a.wav", "text": 'Yes, "so"'}), (4, {"path": "b.wav", "text": "No"})
    ]  # fmt: skip
    tab = write_lines(tmp_path / "a.tsv", ["words\tfile", '"Yes\ta.wav', "No,\tb.wav"])
    assert [row["text"] for _, row in read_rows(tab, wanted)] == ['"Yes', "No,"]
    bar = write_lines(tmp_path / "a.txt", ["\ufefffile|words", "a.wav|Yes"])
    assert list(read_rows(bar, wanted, "|")) == [(2, {"path": "a.wav", "text": "Yes"})]


def test_entries_by_their_paths(tmp_path):
    table = write_lines(tmp_path / "t.tsv", ["file\tpart\twho", "a.wav\tDev\tann", "b.wav\ttrain\t bob "])
    entries = read_entries(table, Columns("file", speaker="who", split="part"))
    assert entries == {"a.wav": (None, "ann", "valid"), "b.wav": (None, "bob", "train")}


@pytest.mark.parametrize(
    "lines, said",
    [
        (["path,words", "a.wav,Yes"], r"t.csv:1: 0 columns 'file' in path, words; name one of these"),
        (["file,file", "a.wav,Yes"], r"t.csv:1: 2 columns 'file'"),
        (["file,words", "a.wav"], r"t.csv:2: 1 fields, the first line names 2 columns"),
        (["file,words", "a.wav,Yes", "a.wav,No"], r"t.csv:3: a second row for 'a.wav'; delete one"),
        (["file,words", " ,Yes"], r"t.csv:2: no path in column 'file'"),
        (["file,words,who", "a.wav,Yes,ann", "b.wav,No, "], r"t.csv:3: no speaker in column 'who'; fill it in, or del"),
        (["file,words", 'a.wav,"Yes'], r"t.csv:2: unexpected end of data; mend the quotes"),
        ([], r"t.csv:1: 0 columns 'file' in nothing"),
    ],
)
def test_rows_of_another_form_are_named(tmp_path, lines, said):
    speaker = "who" if "who" in "".join(lines[:1]) else None
    with pytest.raises(ValueError, match=said):
        read_entries(write_lines(tmp_path / "t.csv", lines), Columns("file", text="words", speaker=speaker))


def test_other_mistakes(tmp_path):
    table = write_lines(tmp_path / "t.csv", ["file,part", "a.wav,later"])
    with pytest.raises(ValueError, match="t.csv:2: the split 'later'; write one of train, valid, dev, "):
        read_entries(table, Columns("file", split="part"))
    table.write_bytes("file,part\na.wav,für".encode("latin-1"))
    with pytest.raises(ValueError, match="t.csv: not UTF-8"):
        read_entries(table, Columns("file"))
    with pytest.raises(FileNotFoundError, match="none.csv: no such table"):
        read_entries(tmp_path / "none.csv", Columns("file"))
