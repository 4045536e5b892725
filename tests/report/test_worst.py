"""What the worst utterances show, whatever columns their tables have."""

import pytest
from helpers import write_lines
from report_folders import write_speaker_results

from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.report.alignment import CORRECT
from speecht5_fairseq.report.media import Recordings
from speecht5_fairseq.report.scores import scores_of
from speecht5_fairseq.report.sources import open_source
from speecht5_fairseq.report.worst import worst_classes, worst_speech


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


def test_a_table_of_classes_that_was_edited_is_named_with_its_line(tmp_path):
    path = write_speaker_results(tmp_path / "sid") / "test/results.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    write_lines(path, [line.replace("0.7\ts0 0.7\ts1", "\ts0 0.7\ts1") for line in lines])
    (table,) = open_source(tmp_path / "sid", "sid").speakers
    with pytest.raises(DataError, match=r"results.tsv:3: probability '' is no number; generate the folder again"):
        worst_classes(table, Recordings(None), 10)
    for name in ("probability", "classes", "label", "correct", "path"):
        write_lines(path, [lines[0].replace(f"\t{name}\t", "\tother\t"), *lines[1:]])
        with pytest.raises(DataError, match=rf"results.tsv:1: no column '{name}'"):
            open_source(tmp_path / "sid", "sid")


def test_edits_without_the_column_of_words_are_named(tmp_path):
    write_lines(tmp_path / "scores.tsv", ["id\twav\tword_edits", "u\tu.wav\t1"])
    with pytest.raises(DataError, match=r"scores.tsv:2: WER: no column 'words'; score the folder again"):
        scores_of(open_source(tmp_path, "tts"), [])
