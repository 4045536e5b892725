"""The criterion of joint pre-training: its terms, its sample size, and what learns from which batch."""

import math
from types import SimpleNamespace

import pytest
import torch
from fairseq.logging import metrics
from helpers import UNITS, mel_target, speech_source, text_tokens, tiny_dictionary, tiny_model
from torch.nn import functional as F

from speecht5_fairseq.constants import IGNORED_LABEL
from speecht5_fairseq.criterions.pretrain import PretrainCriterion
from speecht5_fairseq.data.collate import shift_right
from speecht5_fairseq.losses.speech import speech_loss

DICTIONARY = tiny_dictionary()
PAD, EOS = DICTIONARY.pad(), DICTIONARY.eos()
SAMPLES, FRAMES, TOKENS = (9117, 16_000, 6400), (20, 31, 12), (9, 6, 7)
WEIGHTS = {
    "masked_weight": 1.0,
    "unmasked_weight": 0.0,
    "feature_penalty_weight": 10.0,
    "diversity_weight": 0.1,
    "reconstruction_weight": 1.0,
    "text_weight": 1.0,
}
SPEECH_NETS = {"speech_encoder_prenet", "speech_decoder_prenet", "speech_decoder_postnet", "unit_head"}
TEXT_NETS = {"text_encoder_prenet", "text_decoder_prenet"}
SHARED = {"encoder", "decoder", "quantizer"}


def criterion(**weights):
    return PretrainCriterion(SimpleNamespace(text_dictionary=DICTIONARY), **{**WEIGHTS, **weights})


def speech(rows=(0, 1, 2)):
    rows = list(rows)
    inputs = {key: value[rows] for key, value in (speech_source(*SAMPLES) | mel_target(*FRAMES)).items()}
    inputs["waveform"] = inputs["waveform"][:, : int(inputs["sample_lengths"].max())]
    inputs["target_frames"] = inputs["target_frames"][:, : int(inputs["frame_lengths"].max())]
    units = torch.randint(UNITS, (3, 49), generator=torch.Generator().manual_seed(0))
    for row, samples in zip(units, SAMPLES, strict=True):
        row[(samples - 400) // 320 + 1 :] = IGNORED_LABEL
    units = units[rows]
    return {
        "id": torch.tensor(rows),
        "nsentences": len(rows),
        "ntokens": int((units != IGNORED_LABEL).sum()),
        "net_input": inputs,
        "target": {"units": units},
    }


def text(rows=(0, 1, 2)):
    rows = list(rows)
    target, source = text_tokens(*TOKENS, seed=1)[rows], text_tokens(*TOKENS, seed=2)[rows]
    seeds = torch.arange(3)[rows]
    return {
        "id": torch.tensor(rows),
        "nsentences": len(rows),
        "ntokens": int((target != PAD).sum()),
        "net_input": {
            "source_tokens": source,
            "seeds": seeds,
            "prev_output_tokens": shift_right(target, start=EOS, pad=PAD),
        },
        "target": target,
        "target_lengths": (target != PAD).sum(1),
    }


def joint(speech_batch=None, text_batch=None):
    parts = {"speech": speech_batch, "text": text_batch}
    parts = {kind: batch for kind, batch in parts.items() if batch is not None}
    return {**parts, "nsentences": sum(batch["nsentences"] for batch in parts.values())}


def reduced(*steps):
    """The metrics of some steps, each given by its workers' logs."""
    with metrics.aggregate(new_root=True) as logged:  # codebooks of other tests have other sizes
        for outputs in steps:
            PretrainCriterion.reduce_metrics(outputs)
    return {key: value for key, value in logged.get_smoothed_values().items() if not key.startswith("_")}


def test_speech_loss_is_the_mean_of_its_terms_over_masked_frames():
    model, batch = tiny_model("pretrain").eval(), speech()
    output = model(**batch["net_input"])
    masked = output.encoded.masked
    count = int(masked.sum())
    units = F.cross_entropy(output.unit_logits, batch["target"]["units"][masked], reduction="sum")
    parts = speech_loss(output.speech, batch["net_input"]["target_frames"])
    codes = 2 * 7
    expected = (
        units / count
        + 10 * output.encoded.feature_penalty
        + 0.1 * (codes - output.quantized.prob_perplexity) / codes
        + parts.l1
        + parts.stop
    )
    loss, size, log = criterion()(model, joint(batch))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(log["speech_loss"], (count * expected).detach())
    assert log["masked_frames"] == count and size == log["sample_size"] == 1
    assert log["ntokens"] == batch["ntokens"] and log["nsentences"] == 3


def test_text_loss_is_the_mean_of_its_terms_over_tokens():
    model, batch = tiny_model("pretrain").eval(), text()
    output = model(**batch["net_input"])
    counted = batch["target"] != PAD
    nll = F.cross_entropy(output.text_logits[counted], batch["target"][counted], reduction="sum")
    codes = 2 * 7
    diversity = (codes - output.quantized.prob_perplexity) / codes
    loss, size, log = criterion(text_weight=3.0)(model, joint(None, batch))
    torch.testing.assert_close(loss, 3 * nll / sum(TOKENS) + 0.1 * diversity)
    torch.testing.assert_close(log["text_loss"], (sum(TOKENS) * loss).detach())
    assert log["text_tokens"] == sum(TOKENS) and size == 1


def test_both_modalities_of_a_joint_batch_count_alike():
    model, loss = tiny_model("pretrain").eval(), criterion()
    both, size, log = loss(model, joint(speech(), text()))
    parts = [loss(model, joint(speech())), loss(model, joint(None, text()))]
    torch.testing.assert_close(both, parts[0][0] + parts[1][0])
    assert size == log["sample_size"] == 2
    means = [part[0].item() / math.log(2) for part in parts]
    values = reduced([log])
    assert (values["speech_loss"], values["text_loss"]) == pytest.approx(means, abs=2e-3)
    assert values["loss"] == pytest.approx(sum(means) / 2, abs=2e-3)
    assert log["ntokens"] == speech()["ntokens"] + text()["ntokens"] and log["nsentences"] == 6


def test_frames_without_a_unit_do_not_count():
    model, batch = tiny_model("pretrain").eval(), speech()
    everything = criterion()(model, joint(batch))[2]["masked_frames"]
    batch["target"]["units"][0] = IGNORED_LABEL
    masked = model(**batch["net_input"]).encoded.masked
    log = criterion()(model, joint(batch))[2]
    assert log["masked_frames"] == everything - int(masked[0].sum())
    batch["target"]["units"][:] = IGNORED_LABEL
    loss, size, _ = criterion()(model, joint(batch))
    assert loss == 0 and size == 0


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_unmasked_frames_are_computed_only_at_a_weight(weight):
    model, calls = tiny_model("pretrain").eval(), []
    model.unit_head.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    masked_only = criterion()(model, joint(speech()))
    calls.clear()
    loss, size, log = criterion(unmasked_weight=weight)(model, joint(speech()))
    assert size == masked_only[1] == 1
    masked, valid = log["masked_frames"], int(log["frames"])
    if weight == 0:
        assert calls == [masked] and "unmasked_frames" not in log
        assert torch.equal(loss, masked_only[0])
    else:
        assert calls == [masked, valid - masked] and int(log["unmasked_frames"]) == valid - masked
        assert loss > masked_only[0] and masked == masked_only[2]["masked_frames"]


def test_parts_sum_to_the_batch():
    """Two workers' logs give the metrics of one worker with both batches, but for terms that are means of a batch; so
    do two batches of a validation, one after the other."""
    model, loss = tiny_model("pretrain").eval(), criterion()
    whole = reduced([loss(model, joint(speech(), text()))[2]])
    workers = [joint(speech((0, 1)), text((0,))), joint(speech((2,)), text((1, 2)))]
    logs = [loss(model, batch)[2] for batch in workers]
    parts = reduced(logs)
    means = {"loss", "speech_loss", "text_loss", "l1_loss", "stop_loss", "feature_penalty"}
    exact = set(whole) - means
    assert {"speech_code_perplexity", "text_prob_perplexity", "codes_shared", "unit_loss"} < exact
    for found in (parts, reduced(logs[:1], logs[1:])):
        assert set(found) == set(whole)
        assert {name: found[name] for name in exact} == pytest.approx({name: whole[name] for name in exact}, rel=1e-3)
    assert PretrainCriterion.logging_outputs_can_be_summed()
    assert reduced([{key: logs[0][key] + logs[1][key] for key in logs[0]}]) == pytest.approx(parts)


@pytest.mark.parametrize("options", [{}, {"codebook_prob": 0.0}])
@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_every_batch_logs_the_same_names_in_the_same_shapes(options, weight):
    """fairseq lays the values of a worker side by side and adds them to the others': at the end of validation one
    worker may have a batch of speech and another one of text."""
    model, loss = tiny_model("pretrain", **options).eval(), criterion(unmasked_weight=weight)
    batches = [joint(speech()), joint(None, text()), joint(speech(), text())]
    layouts = [
        [(name, torch.is_tensor(value), torch.as_tensor(value).shape) for name, value in sorted(log.items())]
        for log in (loss(model, batch)[2] for batch in batches)
    ]
    assert layouts[0] == layouts[1] == layouts[2]


@pytest.mark.parametrize("kind", ["speech", "text"])
def test_nothing_is_logged_of_a_modality_that_is_absent(kind):
    batch = joint(speech()) if kind == "speech" else joint(None, text())
    names = set(reduced([criterion()(tiny_model("pretrain").eval(), batch)[2]]))
    of_speech = {"speech_loss", "unit_loss", "unit_accuracy", "l1_loss", "stop_loss", "feature_penalty", "codes_speech",
                 "speech_prob_perplexity", "speech_code_perplexity"}  # fmt: skip
    of_text = {
        "text_loss",
        "infilling_loss",
        "infilling_accuracy",
        "codes_text",
        "text_prob_perplexity",
        "text_code_perplexity",
    }
    assert names == {"loss", "gumbel_temperature"} | (of_speech if kind == "speech" else of_text)


def test_shared_codes_are_those_that_both_use():
    def log(speech_codes, text_codes):
        codes = {"codes_speech": torch.tensor([speech_codes]), "codes_text": torch.tensor([text_codes])}
        codes |= {"probs_speech": torch.ones(1, 4), "probs_text": torch.ones(1, 4)}
        return {"masked_frames": 3, "text_tokens": 4, **codes}

    values = reduced([log([1, 0, 0, 2], [0, 0, 0, 0]), log([0, 0, 0, 1], [3, 1, 0, 0])])
    assert (values["codes_speech"], values["codes_text"], values["codes_shared"]) == (50, 50, 25)
    spread = math.exp(0.25 * math.log(4) + 0.75 * math.log(4 / 3))  # 1 and 3 of 4 codes
    assert values["speech_code_perplexity"] == values["text_code_perplexity"] == pytest.approx(spread, abs=1e-3)
    assert values["speech_prob_perplexity"] == pytest.approx(4, abs=1e-3)


def test_a_log_interval_with_one_modality_alone_follows_one_with_both():
    """fairseq resets the meters of an interval and keeps their names."""
    model, loss = tiny_model("pretrain").eval(), criterion()
    with metrics.aggregate(new_root=True) as logged:
        PretrainCriterion.reduce_metrics([loss(model, joint(speech(), text()))[2]])
        logged.reset()
        PretrainCriterion.reduce_metrics([loss(model, joint(speech()))[2]])
        values = logged.get_smoothed_values()
    assert values["codes_speech"] > 0 and values["codes_text"] == values["codes_shared"] == 0
    assert values["speech_code_perplexity"] >= 1 and math.isnan(values["text_code_perplexity"])


@pytest.mark.parametrize("kinds", [("speech",), ("text",), ("speech", "text")])
@pytest.mark.parametrize("feature_grad_mult", [0.0, 1.0])
def test_everything_that_should_learn_does(kinds, feature_grad_mult):
    model = tiny_model("pretrain", feature_grad_mult=feature_grad_mult, codebook_prob=0.5).train()
    batch = joint(speech() if "speech" in kinds else None, text() if "text" in kinds else None)
    criterion()(model, batch)[0].backward()
    nets = SHARED | (SPEECH_NETS if "speech" in kinds else set()) | (TEXT_NETS if "text" in kinds else set())
    for name, parameter in model.named_parameters():
        if name.split(".")[0] not in nets or (feature_grad_mult == 0 and ".extractor." in name):
            assert parameter.grad is None, name
        else:
            assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().sum() > 0, name


def test_weight_zero_turns_a_term_off():
    model = tiny_model("pretrain").train()
    criterion(reconstruction_weight=0.0, text_weight=0.0)(model, joint(speech(), text()))[0].backward()
    assert all((parameter.grad == 0).all() for parameter in model.speech_decoder_postnet.feat_out.parameters())


def test_without_a_codebook_there_is_no_diversity():
    model = tiny_model("pretrain", codebook_prob=0.0).train()
    values = reduced([criterion()(model, joint(speech(), text()))[2]])
    assert not [name for name in values if "codes" in name or "perplexity" in name or "temperature" in name]


def test_weights_of_terms_that_do_not_exist_are_named(caplog):
    model, plain = tiny_model("pretrain", codebook_prob=0.0).eval(), tiny_model("pretrain_speech").eval()
    quiet = criterion(text_weight=2.0, diversity_weight=0.3)
    quiet(tiny_model("pretrain").eval(), joint(speech(), text()))
    criterion()(model, joint(speech()))
    assert not caplog.text
    for _ in range(2):
        quiet(model, joint(speech()))
    assert caplog.messages == ["no effect: --diversity-weight 0.3; it needs --codebook-prob above 0"]
    caplog.clear()
    PretrainCriterion(SimpleNamespace(text_dictionary=None), **{**WEIGHTS, "text_weight": 2.0})(plain, joint(speech()))
    assert caplog.messages == ["no effect: --text-weight 2.0; it needs --text-data"]


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_weight_below_nothing_is_refused(name):
    with pytest.raises(ValueError, match=f"^--{name.replace('_', '-')} -0.1: give a number that is not below 0$"):
        criterion(**{name: -0.1})
