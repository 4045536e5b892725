"""fairseq-generate: beam search with CTC and a language model, greedy CTC, the scorers, and batches."""

import re

import pytest
from commands import generation, hypotheses, run, training

SEARCH = ["--beam", 3, "--max-len-b", 8, "--ctc-decoding-weight", 0.4]


@pytest.fixture(scope="module")
def beam_output(data, recognizer):
    """Joint beam search over the three test utterances in one batch."""
    options = [*SEARCH, "--scoring", "wer_cer", "--post-process", "sentencepiece"]
    return run("fairseq-generate", *generation(data, recognizer / "checkpoint_last.pt", *options))


def test_joint_beam_search_and_both_error_rates(beam_output):
    found = hypotheses(beam_output)
    assert set(found) == {0, 1, 2} and all(score < 0 for score, _ in found.values())
    references = re.findall(r"^T-\d+\t(.*)$", beam_output, re.MULTILINE)
    assert len(references) == 3
    line = re.search(r"WER: ([\d.]+) \((\d+) / (\d+) words\), CER: ([\d.]+) \(\d+ / (\d+) characters\)", beam_output)
    assert int(line[3]) == sum(len(text.split()) for text in references)
    assert float(line[1]) == pytest.approx(100 * int(line[2]) / int(line[3]), abs=0.01)
    assert int(line[5]) > int(line[3])


def test_alone_and_in_a_batch_give_the_same_hypotheses(data, recognizer, beam_output):
    options = [*SEARCH, "--batch-size", 1, "--scoring", "wer_cer", "--post-process", "sentencepiece"]
    output = run("fairseq-generate", *generation(data, recognizer / "checkpoint_last.pt", *options))
    alone, batched = hypotheses(output), hypotheses(beam_output)
    assert alone.keys() == batched.keys()
    for number, (score, text) in alone.items():
        assert text == batched[number][1]
        assert score == pytest.approx(batched[number][0], abs=1e-4)


def test_greedy_ctc_and_the_word_error_rate_of_fairseq(data, recognizer):
    options = ["--decoding", "ctc-greedy", "--scoring", "wer", "--post-process", "sentencepiece"]
    output = run("fairseq-generate", *generation(data, recognizer / "checkpoint_last.pt", *options))
    assert set(hypotheses(output)) == {0, 1, 2}
    assert re.search(r"Generate test with beam=.*WER: [\d.]+", output)


def test_a_language_model_changes_the_scores(data, recognizer, beam_output, tmp_path):
    """Preprocessed and trained by fairseq's own commands on the dictionary of the recogniser."""
    text, folder = tmp_path / "binary", tmp_path / "lm"
    lines = ["--trainpref", data.language / "train.txt", "--validpref", data.language / "valid.txt"]
    run("fairseq-preprocess", "--only-source", "--srcdict", data.s2t / "dict.txt", "--destdir", text, *lines)
    sizes = ["--decoder-embed-dim", 16, "--decoder-ffn-embed-dim", 32, "--decoder-layers", 1]
    sizes += ["--decoder-attention-heads", 2, "--sample-break-mode", "complete", "--tokens-per-sample", 64]
    model = ["--task", "language_modeling", "--arch", "transformer_lm", *sizes, "--max-tokens", 256]
    run("fairseq-train", text, *training(*model, "--save-dir", folder))
    options = [*SEARCH, "--lm-path", folder / "checkpoint_last.pt", "--lm-weight", 0.5]
    found = hypotheses(run("fairseq-generate", *generation(data, recognizer / "checkpoint_last.pt", *options)))
    without = hypotheses(beam_output)
    assert found.keys() == without.keys()
    assert all(abs(found[number][0] - without[number][0]) > 1e-3 for number in found)


def test_a_recognizer_without_transcripts(data, recognizer, tmp_path):
    """The manifest alone decodes: --unlabelled asks for no labels."""
    for name in ("test.tsv", "dict.txt"):
        (tmp_path / name).write_bytes((data.s2t / name).read_bytes())
    arguments = generation(data, recognizer / "checkpoint_last.pt", "--unlabelled", "--decoding", "ctc-greedy")
    found = hypotheses(run("fairseq-generate", tmp_path, *arguments[1:]))
    assert set(found) == {0, 1, 2}
