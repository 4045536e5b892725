"""Scores are those of the scorers; folders are compared on the utterances that both have."""

import pytest
from helpers import write_lines
from report_folders import HEARD, SAID, write_speaker_results, write_speech_results, write_transcripts

from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.report.scores import compare, scores_of
from speecht5_fairseq.report.sources import open_source
from speecht5_fairseq.scoring.error_rate import character_errors, word_errors


def scores(folder, notes=None):
    notes = [] if notes is None else notes
    return scores_of(open_source(folder, folder.name), notes)


def test_error_rates_are_the_corpus_rates(tmp_path):
    words, characters = scores(write_transcripts(tmp_path / "out"))
    assert words.estimate.value == pytest.approx(word_errors(SAID, HEARD).percent)
    assert characters.estimate.value == pytest.approx(character_errors(SAID, HEARD).percent)
    assert words.estimate.low <= words.estimate.value <= words.estimate.high and words.estimate.count == 4


def test_a_run_that_scored_itself_with_bleu_has_bleu(tmp_path):
    found = scores(write_transcripts(tmp_path / "out", result="BLEU = 12.3"))
    assert [score.metric for score in found] == ["WER", "CER", "BLEU", "chrF"]


def test_what_the_dictionary_lacks_is_scored_as_the_scorers_do(tmp_path):
    texts = [[f"{line} {mark} again" for line in SAID] for mark in ("<unk>", "<<unk>>", "A", "B")]
    found, expected = (
        [(score.metric, score.estimate) for score in scores(write_transcripts(tmp_path / name, *both, result="BLEU"))]
        for name, both in (("out", texts[:2]), ("letters", texts[2:]))
    )
    assert found == expected


def test_speech_has_the_columns_of_its_table(tmp_path):
    notes = []
    found = {score.metric: score.estimate for score in scores(write_speech_results(tmp_path / "tts"), notes)}
    assert list(found) == ["mcd", "WER", "CER", "focus rate"] and found["mcd"].value == 6.0
    assert found["WER"].value == 25.0 and found["mcd"].count == 2 and "1 of 3 utterances" in notes[0]


def test_speakers_have_accuracy_and_trials_their_rates(tmp_path):
    found = {score.metric: score.estimate for score in scores(write_speaker_results(tmp_path / "sid"))}
    assert list(found) == ["accuracy", "EER", "minDCF (0.01)"] and found["accuracy"].value == pytest.approx(1000 / 12)


def test_two_systems_differ_by_what_their_rates_differ_by(tmp_path):
    worse = [f"{line} and more" for line in HEARD]
    own = [scores(write_transcripts(tmp_path / "a", result="BLEU = 1")),
           scores(write_transcripts(tmp_path / "b", worse, result="BLEU = 1"))]  # fmt: skip
    notes = []
    found = {each.metric: each for each in compare(["a", "b"], own, notes)}
    assert list(found) == ["WER", "CER", "BLEU", "chrF"] and not notes
    assert found["WER"].difference.value == pytest.approx(own[1][0].estimate.value - own[0][0].estimate.value)
    assert found["BLEU"].difference.value == pytest.approx(own[1][2].estimate.value - own[0][2].estimate.value)
    assert found["WER"].first == "a" and found["WER"].second == "b" and 0 < found["WER"].p_value <= 1


def test_translations_are_compared_without_the_draws_of_their_intervals(tmp_path, monkeypatch):
    own = [scores(write_transcripts(tmp_path / "a", result="BLEU = 1")),
           scores(write_transcripts(tmp_path / "b", SAID, result="BLEU = 1"))]  # fmt: skip
    monkeypatch.setattr("speecht5_fairseq.report.scores.translation_estimate", None)
    found = {each.metric: each.difference.value for each in compare(["a", "b"], own, [])}
    wanted = {own[0][place].metric: own[1][place].estimate.value - own[0][place].estimate.value for place in (2, 3)}
    assert {name: found[name] for name in ("BLEU", "chrF")} == pytest.approx(wanted)


def test_equal_systems_are_equal(tmp_path):
    own = [scores(write_transcripts(tmp_path / name)) for name in "ab"]
    assert [(each.difference.value, each.p_value) for each in compare(["a", "b"], own, [])] == [(0.0, 1.0)] * 2


def test_verification_is_compared_on_the_trials_that_both_have(tmp_path):
    folders = [write_speaker_results(tmp_path / name) for name in "ab"]
    path = folders[1] / "test.scores.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    worse = [line.rpartition("\t")[0] + f"\t{number % 7}" for number, line in enumerate(lines)]
    write_lines(path, worse[::-1])
    own = [scores(folder) for folder in folders]
    notes = []
    found = {each.metric: each for each in compare(["a", "b"], own, notes)}
    assert list(found) == ["accuracy", "EER", "minDCF (0.01)"] and not notes
    assert found["EER"].difference.value == pytest.approx(own[1][1].estimate.value - own[0][1].estimate.value)
    assert 0 < found["EER"].p_value < 1 and found["EER"].difference.count == 12
    write_lines(path, [line if line[0] == "0" else line.replace(".wav", ".flac") for line in worse])
    assert "accuracy" in {each.metric for each in compare(["a", "b"], [own[0], scores(folders[1])], notes)}
    assert len(notes) == 2 and "EER of test: a and b are not compared (no trial is of one speaker" in notes[0]


def test_only_utterances_with_the_same_reference_are_compared(tmp_path):
    first = scores(write_transcripts(tmp_path / "a"))
    said = [*SAID[:3], "another sentence"]
    found = compare(["a", "b"], [first, scores(write_transcripts(tmp_path / "b", SAID, said))], [])
    assert [each.difference.count for each in found] == [3, 3]
    notes = []
    assert not compare(["a", "c"], [first, scores(write_transcripts(tmp_path / "c", SAID, SAID[::-1]))], notes)
    assert notes[0].endswith("a and c have no utterance in common: not compared")
    notes.clear()
    said = [SAID[0], *(f"another {number}" for number in range(3))]
    assert not compare(["a", "d"], [first, scores(write_transcripts(tmp_path / "d", SAID, said))], notes)
    assert notes[0].endswith("a and d have one utterance in common, too few for a test: not compared")


def test_speech_is_compared_by_id_and_text(tmp_path):
    own = [scores(write_speech_results(tmp_path / name, shift=shift)) for name, shift in (("a", 0.0), ("b", 1.5))]
    found = {each.metric: each for each in compare(["a", "b"], own, [])}
    assert found["mcd"].difference[:3] == pytest.approx((1.5, 1.5, 1.5)) and found["mcd"].difference.count == 2


def test_the_file_of_a_vector_is_no_score_and_a_broken_number_is_named(tmp_path):
    path = write_speech_results(tmp_path / "tts") / "test/results.tsv"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    lines = [f"{header}\tspeaker", *(f"{row}\t/vectors/en.npy" for row in rows)]
    write_lines(path, lines)
    assert "speaker" not in {score.metric for score in scores(tmp_path / "tts")}
    write_lines(path, [line.replace("\t5.0\t", "\tfive\t") for line in lines])
    with pytest.raises(DataError, match=r"results.tsv:2: mcd: could not convert .*five"):
        scores(tmp_path / "tts")
