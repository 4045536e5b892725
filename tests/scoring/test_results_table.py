"""Tables in and out."""

import pytest

from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.scoring.results_table import ResultsTable, read_texts


def written(tmp_path, text):
    path = tmp_path / "results.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_are_added_once_and_others_stay(tmp_path):
    path = written(tmp_path, "id\twav\ttext\na\ta.wav\tfirst \u2028 one\nb\t\t\n")
    for value in ("1", "2"):
        table = ResultsTable.read(path, required=("id", "wav"))
        table.set_columns(["mcd", "why"], [{"mcd": value}, {"why": "a tab\tand\na line"}])
        table.write()
    expected = "id\twav\ttext\tmcd\twhy\na\ta.wav\tfirst \u2028 one\t2\t\nb\t\t\t\ta tab and a line\n"
    assert path.read_text(encoding="utf-8") == expected


def test_of_rows_with_one_id_the_last_counts(tmp_path, caplog):
    """As the generation of the table reads them, when it goes on."""
    path = written(tmp_path, "id\tfile\na\told\nb\tb\na\tnew\n")
    table = ResultsTable.read(path, required=("id",))
    assert table.rows == [{"id": "a", "file": "new"}, {"id": "b", "file": "b"}]
    assert f"{path}: 1 rows are superseded by later ones" in caplog.text
    table.write()
    caplog.clear()
    assert len(ResultsTable.read(path, required=("id",)).rows) == 2 and not caplog.text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("id\tfile\na\tb\n", ":1: no column 'wav'"),
        ("id\twav\tid\n", ":1: a column name stands twice"),
        ("id\twav\na\ta.wav\nb\n", ":3: 1 fields for 2 columns"),
        ("", ":1: no column 'id'"),
    ],
)
def test_broken_tables(tmp_path, text, problem):
    with pytest.raises(DataError, match=f"results.tsv{problem}"):
        ResultsTable.read(written(tmp_path, text), required=("id", "wav"))


def test_texts(tmp_path):
    assert read_texts(written(tmp_path, "a\tone two \nb/c\t\n")) == {"a": "one two", "b/c": ""}
    with pytest.raises(DataError, match=":2: 'no tab'"):
        read_texts(written(tmp_path, "a\tb\nno tab\n"))
    with pytest.raises(DataError, match=":2: the id 'a' stands twice"):
        read_texts(written(tmp_path, "a\tb\na\tc\n"))
    (tmp_path / "latin.tsv").write_bytes(b"a\t\xe9\n")
    with pytest.raises(DataError, match="latin.tsv: is not UTF-8"):
        read_texts(tmp_path / "latin.tsv")
