"""The scorer as fairseq-generate builds and feeds it."""

import pytest
import torch
from fairseq import options, scoring, utils
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

import speecht5_fairseq.scoring.fairseq_scorer  # noqa: F401  (registers wer_cer)


@pytest.fixture
def dictionary():
    dictionary = Dictionary()
    for symbol in ("▁", "A", "B", "C", "<mask>", "<ctc_blank>"):
        dictionary.add_symbol(symbol)
    return dictionary


PAIRS = (("▁ A B ▁ C", "▁ A C ▁ C"), ("▁ A", ""), ("▁ B ▁ B", "▁ B ▁ B <unk>"))


def scorer_from_command_line(dictionary, *arguments):
    parser = options.get_generation_parser()
    args = options.parse_args_and_arch(parser, ["data", "--path", "model.pt", *arguments])
    return scoring.build_scorer(convert_namespace_to_omegaconf(args).scoring, dictionary)


def feed(scorer, dictionary, post_process, pairs=PAIRS):
    """What fairseq-generate does with the tokens of a reference and of a hypothesis."""
    for reference, hypothesis in pairs:
        target, tokens = (
            dictionary.encode_line(line, add_if_not_exist=False, append_eos=True) for line in (reference, hypothesis)
        )
        line = dictionary.string(target, post_process, escape_unk=True, extra_symbols_to_ignore={dictionary.eos()})
        _, output, _ = utils.post_process_prediction(
            tokens, "", torch.empty(0), None, dictionary, post_process, {dictionary.eos()}
        )
        scorer.add_string(line, output)
    return scorer


@pytest.mark.parametrize("post_process", [None, "sentencepiece"])
def test_both_rates_with_counts(dictionary, post_process):
    scorer = feed(scorer_from_command_line(dictionary, "--scoring", "wer_cer"), dictionary, post_process)
    assert scorer.result_string() == "WER: 60.00 (3 / 5 words), CER: 37.50 (3 / 8 characters)"
    assert scorer.score() == pytest.approx(60.0)


@pytest.mark.parametrize("post_process", [None, "sentencepiece"])
def test_what_the_dictionary_lacks_is_one_character_that_is_never_right(dictionary, post_process, caplog):
    scorer = scorer_from_command_line(dictionary, "--scoring", "wer_cer")
    feed(scorer, dictionary, post_process, [("▁ A Z ▁ Z", "▁ A <unk> ▁ <unk>"), ("▁ A", "▁ A")])
    assert scorer.result_string() == "WER: 66.67 (2 / 3 words), CER: 40.00 (2 / 5 characters)"
    assert "1 of 2 references have symbols that the dictionary lacks (<unk>)" in caplog.text


def test_fairseqs_own_scorer_agrees(dictionary):
    scorer = feed(scorer_from_command_line(dictionary, "--scoring", "wer"), dictionary, "sentencepiece")
    assert scorer.score() == pytest.approx(60.0)


def test_words_without_the_mark_of_pieces(dictionary):
    scorer = scorer_from_command_line(dictionary, "--scoring", "wer_cer")
    scorer.add_string("one two", "one too")
    assert scorer.result_string() == "WER: 50.00 (1 / 2 words), CER: 14.29 (1 / 7 characters)"
