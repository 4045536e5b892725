"""What the worst utterances show, whatever columns their tables have."""

import pytest
from helpers import write_lines

from speecht5_fairseq.report.alignment import CORRECT
from speecht5_fairseq.report.sources import open_source
from speecht5_fairseq.report.worst import worst_speech


def worst(folder, columns, *fields):
    """The one utterance of a table of scored recordings."""
    write_lines(folder / "scores.tsv", ["\t".join(["id", "wav", *columns]), "\t".join(["u", "u.wav", *fields])])
    (table,) = open_source(folder, "tts").speech
    (found,) = worst_speech(table, 10, [])
    return found


def sides(steps):
    return [" ".join(filter(None, side)) for side in zip(*steps, strict=True)]


ASR = ["asr_text", "word_edits", "words", "character_edits", "characters"]


def test_a_folder_without_a_column_of_texts_is_aligned_with_what_it_was_scored_against(tmp_path):
    found = worst(tmp_path, [*ASR, "asr_reference"], "good day", "1", "3", "4", "12", "a good day")
    assert sides(found.steps) == ["a good day", "good day"] and [step.kind for step in found.steps[1:]] == [CORRECT] * 2
    assert found.measure == "WER 33.33 %"


def test_the_text_that_was_scored_against_goes_before_that_of_the_table(tmp_path):
    columns = ["text", *ASR, "asr_reference"]
    found = worst(tmp_path, columns, "Another text.", "good day", "1", "2", "4", "8", "good bye")
    assert sides(found.steps) == ["good bye", "good day"] and found.facts[0] == ("text", "Another text.")


@pytest.mark.parametrize(
    "columns, fields, steps",
    [
        (["text"], ["Good bye!"], ["good bye", "good day"]),
        (["text"], ["Another text, of which --texts had another."], None),  # its edits are others than the table's
        ([], [], None),
    ],
)
def test_a_table_of_an_earlier_scoring_is_aligned_where_its_text_is_the_one_scored(tmp_path, columns, fields, steps):
    found = worst(tmp_path, [*columns, *ASR], *fields, "good day", "1", "2", "4", "8")
    assert (sides(found.steps) if found.steps else None) == steps
