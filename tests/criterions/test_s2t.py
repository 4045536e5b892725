"""The criterion of speech to text: its sums, its sample size, and its error rates."""

from types import SimpleNamespace

import editdistance
import pytest
import torch
from fairseq.data.data_utils import post_process
from fairseq.logging import metrics
from helpers import speech_source, text_tokens, tiny_dictionary, tiny_model
from torch.nn import functional as F

from speecht5_fairseq.criterions.s2t import POST_PROCESS, S2TCriterion
from speecht5_fairseq.data.collate import shift_right

DICTIONARY = tiny_dictionary()
PAD, EOS, BLANK = DICTIONARY.pad(), DICTIONARY.eos(), DICTIONARY.index("<ctc_blank>")
SAMPLES, SIZES = (9117, 16_000, 6400), (5, 8, 4)


def criterion(**options):
    task = SimpleNamespace(target_dictionary=DICTIONARY, ctc_blank=BLANK)
    defaults = {
        "ce_weight": 0.5,
        "ctc_weight": 0.5,
        "label_smoothing": 0.1,
        "keep_infinite_ctc": False,
        "wer_post_process": "sentencepiece",
        "sentence_avg": False,
    }
    return S2TCriterion(task, **{**defaults, **options})


def sample(rows=(0, 1, 2), seed=0):
    target = text_tokens(*SIZES, seed=seed)
    for row, size in zip(target, SIZES, strict=True):
        row[size - 1] = EOS
    rows = list(rows)
    source = {key: value[rows] for key, value in speech_source(*SAMPLES).items()}
    source["waveform"] = source["waveform"][:, : int(source["sample_lengths"].max())]
    lengths = torch.tensor(SIZES)[rows]
    target = target[rows, : int(lengths.max())]
    return {
        "id": torch.tensor(rows),
        "nsentences": len(rows),
        "ntokens": int(lengths.sum()),
        "net_input": {**source, "prev_output_tokens": shift_right(target, start=EOS, pad=PAD)},
        "target": target,
        "target_lengths": lengths,
    }


def reduced(outputs):
    with metrics.aggregate() as logged:
        S2TCriterion.reduce_metrics(outputs)
    return {key: value for key, value in logged.get_smoothed_values().items() if not key.startswith("_")}


def test_loss_is_the_weighted_sum_of_both():
    model, batch = tiny_model("s2t").eval(), sample()
    output = model(**batch["net_input"])
    others = output.text_logits.size(-1) - 1  # torch spreads its smoothing over the target too
    ce = sum(
        F.cross_entropy(output.text_logits[row, :size], batch["target"][row, :size], reduction="sum",
                        label_smoothing=0.1 * (1 + 1 / others))
        for row, size in enumerate(SIZES)
    )  # fmt: skip
    ctc = sum(
        F.ctc_loss(
            output.ctc_logits[row, : output.encoded.lengths[row]].log_softmax(-1)[:, None],
            batch["target"][row : row + 1, : size - 1], output.encoded.lengths[row : row + 1],
            torch.tensor([size - 1]), blank=BLANK, reduction="sum",
        )
        for row, size in enumerate(SIZES)
    )  # fmt: skip
    loss, size, log = criterion(ce_weight=0.3, ctc_weight=0.7)(model, batch)
    torch.testing.assert_close(loss, 0.3 * ce + 0.7 * ctc)
    torch.testing.assert_close((log["ce"], log["ctc"]), (ce.detach(), ctc.detach()))
    assert size == sum(SIZES) == log["sample_size"] == log["ntokens"]
    assert not log["loss"].requires_grad


def test_sample_size_is_tokens_or_sentences():
    model = tiny_model("s2t").eval()
    assert criterion()(model, sample())[1] == sum(SIZES)
    assert criterion(sentence_avg=True)(model, sample())[1] == len(SIZES)


def test_parts_sum_to_the_batch():
    """What two workers log is what one logs for both batches: in evaluation, where error rates are counted too."""
    model, loss = tiny_model("s2t").eval(), criterion()
    whole = [loss(model, sample())[2]]
    parts = [loss(model, sample(rows))[2] for rows in ((0, 1), (2,))]
    assert S2TCriterion.logging_outputs_can_be_summed()
    summed = [{key: sum(log[key] for log in parts) for key in parts[0]}]  # what fairseq's fast path does
    assert reduced(whole) == pytest.approx(reduced(parts), rel=1e-4)
    assert reduced(whole) == pytest.approx(reduced(summed), rel=1e-4)
    assert {"loss", "ce_loss", "nll_loss", "ctc_loss", "accuracy", "uer", "wer", "ctc_too_long"} == set(reduced(whole))


def test_what_no_loss_reads_is_told_once(caplog):
    model, without = tiny_model("s2t").train(), criterion(ctc_weight=0.0)
    without(tiny_model("s2t").eval(), sample())
    assert not caplog.messages
    for _ in range(2):
        without(model, sample())
    (message,) = caplog.messages
    assert "--ctc-weight 0 never trains the CTC head" in message and message.endswith("add --no-ctc-head")
    caplog.clear()
    criterion(ce_weight=0.0, label_smoothing=0.3)
    assert caplog.messages == ["no effect: --label-smoothing 0.3; it needs --ce-weight above 0"]


def test_logged_losses_are_bits_a_token():
    model = tiny_model("s2t").eval()
    _, _, log = criterion(label_smoothing=0.0, ctc_weight=0.0)(model, sample())
    bits = log["nll"].item() / sum(SIZES) / torch.tensor(2.0).log().item()
    assert reduced([log])["nll_loss"] == pytest.approx(bits, rel=1e-3)


class Fixed(torch.nn.Module):
    """A model whose CTC head spells given symbols."""

    def __init__(self, paths, vocabulary):
        super().__init__()
        self.paths, self.vocabulary = paths, vocabulary

    def forward(self, *, prev_output_tokens, **_):
        logits = torch.full((len(self.paths), max(map(len, self.paths)), self.vocabulary), -9.0)
        for row, path in enumerate(self.paths):
            logits[row, range(len(path)), path] = 9.0
        lengths = torch.tensor([len(path) for path in self.paths])
        text = torch.zeros(*prev_output_tokens.shape, self.vocabulary)
        return SimpleNamespace(text_logits=text, ctc_logits=logits, encoded=SimpleNamespace(lengths=lengths))


def indices(text):
    return [DICTIONARY.index(symbol) for symbol in text]


def labelled(*texts):
    rows = [torch.tensor([*indices(text), EOS]) for text in texts]
    target = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    lengths = torch.tensor([len(row) for row in rows])
    net_input = {"prev_output_tokens": shift_right(target, start=EOS, pad=PAD)}
    counts = {"nsentences": len(rows), "ntokens": int(lengths.sum())}
    return {**counts, "net_input": net_input, "target": target, "target_lengths": lengths}


def test_error_counts_are_edit_distances():
    spoken, wanted = ["▁ABC▁DE", "▁FG▁H", "▁AB"], ["▁ABD▁DE", "▁FG▁X▁H", "▁AB"]
    paths = [[BLANK, *(token for symbol in indices(text) for token in (symbol, symbol, BLANK))] for text in spoken]
    _, _, log = criterion()(Fixed(paths, len(DICTIONARY)).eval(), labelled(*wanted))
    assert log["unit_errors"] == sum(editdistance.eval(a, b) for a, b in zip(spoken, wanted, strict=True)) == 3
    assert log["units"] == sum(map(len, wanted))
    words = [[text.replace("▁", " ").split() for text in texts] for texts in (spoken, wanted)]
    assert log["word_errors"] == sum(editdistance.eval(a, b) for a, b in zip(*words, strict=True)) == 2
    assert log["words"] == sum(map(len, words[1])) == 6
    assert reduced([log])["wer"] == pytest.approx(100 * 2 / 6, rel=1e-3)


def test_validation_spells_what_decoding_may():
    """Frames whose best symbol is <s>, <pad>, </s> or <mask> have their second best: blanks, and a B."""
    never = [DICTIONARY.bos(), PAD, EOS, DICTIONARY.index("<mask>")]
    model = Fixed([[*indices("▁A"), *never, *indices("B")]], len(DICTIONARY))
    spelled = model(prev_output_tokens=torch.zeros(1, 1)).ctc_logits
    spelled[0, 2:6, BLANK] = 5.0
    model.forward = lambda **_: SimpleNamespace(
        text_logits=torch.zeros(1, 4, len(DICTIONARY)),
        ctc_logits=spelled,
        encoded=SimpleNamespace(lengths=torch.tensor([7])),
    )
    _, _, log = criterion()(model.eval(), labelled("▁AB"))
    assert (log["unit_errors"], log["units"], log["word_errors"]) == (0, 3, 0)


def test_error_rates_are_not_counted_in_training():
    _, _, log = criterion()(tiny_model("s2t").train(), sample())
    assert not {"unit_errors", "word_errors"} & set(log)


def test_zero_infinity_takes_effect_and_is_logged():
    short = labelled("▁ABCDEFGH", "▁A")
    model = Fixed([[BLANK] * 4, [BLANK] * 4], len(DICTIONARY))
    _, _, log = criterion(ce_weight=0.0)(model, short)
    assert torch.isfinite(log["loss"]) and log["ctc_too_long"] == 1
    _, _, log = criterion(ce_weight=0.0, keep_infinite_ctc=True)(model, short)
    assert log["loss"] == float("inf")


def test_a_missing_head_is_an_error_and_weight_zero_is_none():
    model = tiny_model("s2t", no_ctc_head=True).eval()
    with pytest.raises(ValueError, match="--ctc-weight 0.5 needs the CTC head that --no-ctc-head left out"):
        criterion()(model, sample())
    loss, _, log = criterion(ctc_weight=0.0)(model, sample())
    torch.testing.assert_close(loss.detach(), 0.5 * log["ce"])
    assert "ctc_loss" not in reduced([log])


def test_a_batch_without_transcripts_is_refused_with_the_mend():
    unlabelled = {**sample(), "target": None, "target_lengths": None}
    del unlabelled["net_input"]["prev_output_tokens"]
    with pytest.raises(ValueError, match="no transcripts.*drop --unlabelled"):
        criterion()(tiny_model("s2t").eval(), unlabelled)


def test_an_unknown_post_process_is_refused_before_training():
    with pytest.raises(ValueError, match="--wer-post-process is 'spm'; choose one of sentencepiece, wordpiece"):
        criterion(wer_post_process="spm")
    for name in (*POST_PROCESS, "@@ "):
        assert post_process("a", criterion(wer_post_process=name).wer_post_process) == "a"


@pytest.mark.parametrize("feature_grad_mult", [0.0, 1.0])
def test_everything_that_should_learn_does(feature_grad_mult):
    model = tiny_model("s2t", feature_grad_mult=feature_grad_mult).train()
    criterion()(model, sample())[0].backward()
    for name, parameter in model.named_parameters():
        if feature_grad_mult == 0 and ".extractor." in name:
            assert parameter.grad is None, name
        else:
            assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    "options, message",
    [
        ({"ctc_weight": -0.5}, "--ctc-weight -0.5: give a number that is not below 0"),
        ({"ce_weight": float("inf")}, "--ce-weight inf: give a number that is not below 0"),
        ({"label_smoothing": -0.1}, "--label-smoothing -0.1: give a share from 0 to less than 1"),
        ({"label_smoothing": 1.0}, "--label-smoothing 1.0: give a share from 0 to less than 1"),
        ({"ce_weight": 0.0, "ctc_weight": 0.0}, "--ce-weight 0 and --ctc-weight 0: nothing would be learned; give one"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        criterion(**options)
