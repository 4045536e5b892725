"""Speech translation as its recipe runs it: no CTC, checkpoints of several updates averaged, BLEU and chrF."""

import re

import pytest
import torch
from commands import differing, generation, hypotheses, load, recognition, run
from helpers import write_lines
from sacrebleu.metrics import BLEU, CHRF

NO_CTC = ["--ce-weight", 1, "--ctc-weight", 0, "--no-ctc-head"]
SEARCH = ["--beam", 3, "--min-len", 5, "--max-len-b", 8, "--post-process", "sentencepiece"]


@pytest.fixture(scope="module")
def labels(data, tmp_path_factory):
    """One translation for all: a few updates teach its letters, and scores of the test are above 0."""
    folder = tmp_path_factory.mktemp("labels")
    (folder / "dict.txt").write_bytes((data.s2t / "dict.txt").read_bytes())
    for split in ("train", "valid", "test"):
        rows = len((data.s2t / f"{split}.txt").read_text(encoding="utf-8").splitlines())
        write_lines(folder / f"{split}.txt", ["H E L L O"] * rows)
    return folder


@pytest.fixture(scope="module")
def translator(data, labels, pretrained, tmp_path_factory):
    """The mean of the last two updates, beside the checkpoints themselves."""
    folder = tmp_path_factory.mktemp("translator")
    start = ["--finetune-from-model", pretrained / "checkpoint_last.pt", "--label-dir", labels, "--lr", 0.01]
    saving = ["--max-update", 8, "--save-interval-updates", 1, "--no-epoch-checkpoints", "--save-dir", folder]
    run("fairseq-train", *recognition(data, *NO_CTC, *start, *saving))
    choice = ["--inputs", folder, "--last-updates", 2, "--output", folder / "average.pt"]
    output = run("python", "-m", "speecht5_fairseq.average", *choice)
    assert re.search(r"average.pt: the mean of 2 \(checkpoint_\d+_\d.pt, checkpoint_\d+_\d.pt\)", output)
    return folder


def lines(output):
    """References and hypotheses in the order of their printing."""
    return [re.findall(rf"^{letter}-\d+\t(?:-[\d.e-]+\t)?(.*)$", output, re.MULTILINE) for letter in "TD"]


def test_the_average_is_the_mean_of_its_files(translator):
    names = load(translator / "average.pt")["extra_state"]["averaged"]
    models = [load(translator / name)["model"] for name in names]
    mean = load(translator / "average.pt")["model"]
    assert len(differing(*models)) > 20
    floats = [name for name, value in mean.items() if value.is_floating_point()]
    assert all(torch.allclose(mean[name], (models[0][name] + models[1][name]) / 2, atol=1e-7) for name in floats)
    assert torch.equal(mean["vocabulary.symbols"], models[0]["vocabulary.symbols"])


def test_bleu_and_chrf_of_generated_lines_are_those_of_sacrebleu(data, translator, labels):
    options = ["--scoring", "bleu_chrf", "--bleu-tokenizer", "char", "--chrf-word-order", 2, "--label-dir", labels]
    output = run("fairseq-generate", *generation(data, translator / "average.pt", *SEARCH, *options))
    references, translations = lines(output)
    assert len(references) == len(translations) == 3
    metrics = (BLEU(tokenize="char"), CHRF(word_order=2))
    scores = [metric.corpus_score(translations, [references]).score for metric in metrics]
    assert all(0 < score < 100 for score in scores)
    pattern = r"beam=3: BLEU\|\S*tok:char\S* = ([\d.]+) .*; chrF2\+\+\|\S*nw:2\S* = ([\d.]+)$"
    printed = re.search(pattern, output.rstrip()).groups()
    assert [float(number) for number in printed] == [round(score, 2) for score in scores]


def test_the_scorer_of_fairseq(data, translator, labels):
    options = ["--scoring", "sacrebleu", "--sacrebleu-tokenizer", "char", "--label-dir", labels]
    output = run("fairseq-generate", *generation(data, translator / "average.pt", *SEARCH, *options))
    references, translations = lines(output)
    score = BLEU(tokenize="char").corpus_score(translations, [references]).score
    assert 0 < score < 100
    assert float(re.search(r"beam=3: BLEU = ([\d.]+)", output)[1]) == pytest.approx(score, abs=0.006)


def test_an_average_starts_another_fine_tuning(data, translator, tmp_path):
    start = ["--finetune-from-model", translator / "average.pt", "--lr", 0, "--max-update", 1]
    run("fairseq-train", *recognition(data, *NO_CTC, *start, "--save-dir", tmp_path))
    again = load(tmp_path / "checkpoint_last.pt")
    assert not differing(again["model"], load(translator / "average.pt")["model"])
    assert again["last_optimizer_state"]["state"] and again["optimizer_history"][-1]["num_updates"] == 1


def test_alone_and_in_a_batch_give_the_same(data, translator):
    batched, alone = (
        hypotheses(run("fairseq-generate", *generation(data, translator / "average.pt", *SEARCH, *options)))
        for options in (["--scoring", "bleu_chrf"], ["--scoring", "bleu_chrf", "--batch-size", 1])
    )
    assert {number: text for number, (_, text) in batched.items()} == {n: text for n, (_, text) in alone.items()}
