"""BLEU and chrF as fairseq-generate builds and feeds the scorers, against sacrebleu itself."""

import re

import pytest
from fairseq import options, scoring
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from sacrebleu.metrics import BLEU, CHRF

import speecht5_fairseq.scoring.translation  # noqa: F401  (registers bleu_chrf)

REFERENCES = [
    "The leader, Mr. O'Neil, has left the conference.",
    "Please enter your number-code now!",
    "“Goodbye” – at 3.5 %",
    "you are currently the only person in this conference",
]
HYPOTHESES = [
    "the leader , Mr. O'Neil has left a conference .",
    "Please enter the number now",
    "Goodbye at 3.5 %",
    "you are currently the only Person in this",
]


def scorer(*arguments):
    """What fairseq-generate builds of the command line."""
    args = options.parse_args_and_arch(
        options.get_generation_parser(), ["data", "--path", "model.pt", "--scoring", *map(str, arguments)]
    )
    return scoring.build_scorer(convert_namespace_to_omegaconf(args).scoring, None)


def scored(*arguments, references=REFERENCES, hypotheses=HYPOTHESES):
    built = scorer(*arguments)
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        built.add_string(reference, hypothesis)
    return built


def expected(metric):
    result = metric.corpus_score(HYPOTHESES, [REFERENCES])
    return result.score, result.format(signature=str(metric.get_signature()))


CHOICES = [
    ([], {}, {}),
    (["--bleu-tokenizer", "intl"], {"tokenize": "intl"}, {}),
    (["--bleu-tokenizer", "char"], {"tokenize": "char"}, {}),
    (["--score-lowercase"], {"lowercase": True}, {"lowercase": True}),
    (["--chrf-word-order", 2], {}, {"word_order": 2}),
]


@pytest.mark.parametrize(("arguments", "bleu", "chrf"), CHOICES)
def test_both_scores_are_those_of_sacrebleu(arguments, bleu, chrf):
    ours = scored("bleu_chrf", *arguments)
    (bleu_score, bleu_line), (_, chrf_line) = expected(BLEU(**bleu)), expected(CHRF(**chrf))
    assert ours.score() == bleu_score > 0
    assert ours.result_string() == f"{bleu_line}; {chrf_line}"
    assert re.match(r"BLEU\|nrefs:1\|case:\w+\|eff:no\|tok:\w+\|smooth:exp\|version:[\d.]+ = ", bleu_line)


def test_every_option_changes_what_it_says():
    """An option that sacrebleu ignored would leave both sides of the test above the same."""
    plain, *others = [scored("bleu_chrf", *arguments).result_string().split("; ") for arguments, _, _ in CHOICES]

    def numbers(line):
        return line.split(" = ", 1)[1]

    changed = [tuple(numbers(a) != numbers(b) for a, b in zip(plain, other, strict=True)) for other in others]
    assert changed == [(True, False), (True, False), (True, True), (False, True)]


def test_pieces_are_joined_first():
    pieces = ["▁you ▁have ▁enter ed ▁too ▁many", "▁good bye"]
    words = ["you have entered too many", "goodbye"]
    lines = [
        scored("bleu_chrf", references=texts, hypotheses=texts[:1] + texts[:1]).result_string()
        for texts in (pieces, words)
    ]
    assert lines[0] == lines[1]


@pytest.mark.parametrize("tokenizer", ["13a", "intl", "char"])
def test_what_the_dictionary_lacks_gives_no_credit(tokenizer, caplog):
    """As fairseq-generate writes it on both sides; it scores as two characters that differ."""
    texts = [[f"{line} {mark} again {mark}" for line in REFERENCES] for mark in ("<<unk>>", "<unk>", "A", "B")]
    found, expected = (
        scored("bleu_chrf", "--bleu-tokenizer", tokenizer, references=said, hypotheses=heard).result_string()
        for said, heard in (texts[:2], texts[2:])
    )
    assert found == expected
    assert "4 of 4 references have symbols that the dictionary lacks (<unk>)" in caplog.text


def test_the_scorers_of_fairseq_agree():
    """With fairseq's defaults; its --scoring chrf takes no options and prints no signature."""
    ours = scored("bleu_chrf")
    assert scored("sacrebleu").score() == pytest.approx(ours.score(), abs=1e-9)
    chrf = float(re.fullmatch(r"chrF2 = ([\d.]+)", scored("chrf").result_string())[1])
    assert chrf == pytest.approx(float(ours.result_string().rsplit(" = ", 1)[1]), abs=0.006)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="--chrf-word-order -1: give 0 .chrF., 2"):
        scorer("bleu_chrf", "--chrf-word-order", -1)
    with pytest.raises(ValueError, match="no line to score"):
        scorer("bleu_chrf").result_string()
