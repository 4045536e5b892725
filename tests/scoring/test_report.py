"""The corpus table, by hand."""

from speecht5_fairseq.scoring.metrics import METRICS, Plan
from speecht5_fairseq.scoring.report import aligned, corpus_metrics, corpus_table


def row(**fields):
    return {name: str(value) for name, value in fields.items()}


def values(table):
    """(metric, recordings) -> [utterances, value, interval] of the printed lines; the unit may be empty."""
    found = {}
    for line in table.splitlines()[1:]:
        cells = [cell for cell in line.split("  ") if cell]
        found[cells[0].strip(), cells[-4].strip()] = [cell.strip() for cell in cells[-3:]]
    return found


def test_means_and_gains_over_the_utterances_that_have_them():
    rows = [row(stoi=0.75, source_stoi=0.5), row(stoi=1.0, source_stoi=0.75), row(stoi="", source_stoi=0.25), row()]
    found = values(corpus_table(rows, Plan(("stoi",), ("generated", "source"))))
    assert found["stoi", "generated"][:2] == ["2", "0.875"]
    assert found["stoi", "source"][:2] == ["3", "0.500"]
    assert found["stoi", "generated - source"] == ["2", "+0.250", "+0.250 .. +0.250"]


def test_error_rates_of_generated_and_reference_recordings():
    rows = [
        row(word_edits=1, words=1, character_edits=2, characters=4, reference_word_edits=0, reference_words=1),
        row(word_edits=0, words=9, character_edits=0, characters=36, reference_word_edits=1, reference_words=9),
    ]
    table = corpus_table(rows, Plan(("asr", "mcd"), ("generated", "reference")))
    found = values(table)
    assert found["WER", "generated"][:2] == ["2", "10.000"] and found["WER", "reference"][:2] == ["2", "10.000"]
    assert found["CER", "generated"][:2] == ["2", "5.000"] and found["CER", "reference"] == ["0", "-", "-"]
    assert found["mcd", "generated"] == ["0", "-", "-"] and ("mcd", "reference") not in found


def test_every_metric_has_a_line():
    assert len(list(corpus_metrics(METRICS))) == len(METRICS) + 1


def test_columns_line_up():
    assert aligned([("a", "bb", "c"), ("ddd", "", "e")]) == "a    bb  c\nddd      e"
