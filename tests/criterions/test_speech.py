"""The criterion of the jobs with a speech target: its sum, its weights, and the guided heads."""

import pytest
import torch
from fairseq.logging import metrics
from helpers import alone, mel_target, speech_source, text_tokens, tiny_model

from speecht5_fairseq.criterions.speech import SpeechCriterion
from speecht5_fairseq.losses.speech import guided_attention_loss, speech_loss

LENGTHS, FRAMES = (5, 9, 7), (12, 31, 18)
DEFAULTS = {
    "mel_loss": "l1",
    "stop_weight": 5.0,
    "guided_attention_weight": 10.0,
    "guided_attention_sigma": 0.4,
    "guided_attention_layers": None,
    "guided_attention_heads": 2,
    "sentence_avg": False,
}


def criterion(**options):
    return SpeechCriterion(None, **{**DEFAULTS, **options})


def sample(job="t2s"):
    source = {"source_tokens": text_tokens(*LENGTHS)} if job == "t2s" else speech_source(4000, 9117, 6000)
    seeds = {"seeds": torch.arange(3)}
    return {"id": torch.arange(3), "nsentences": 3, "net_input": {**source, **seeds, **mel_target(*FRAMES)}}


def reduced(outputs):
    with metrics.aggregate() as found:
        SpeechCriterion.reduce_metrics(outputs)
    return found.get_smoothed_values()


@pytest.mark.parametrize("mel_loss", ["l1", "l2", "l1+l2"])
@pytest.mark.parametrize("reduction", [1, 2, 3])
def test_loss_is_the_weighted_sum(mel_loss, reduction):
    model, batch = tiny_model("t2s", reduction_factor=reduction).eval(), sample()
    loss, size, logging = criterion(mel_loss=mel_loss, guided_attention_weight=3.0)(model, batch)
    output = model(**batch["net_input"], watch=model.decoder.everything._replace(heads=2))
    parts = speech_loss(output.speech, batch["net_input"]["target_frames"])
    steps = torch.tensor(FRAMES) // reduction
    guided = guided_attention_loss(output.speech.attention, steps, torch.tensor(LENGTHS), sigma=0.4)
    mel = {"l1": parts.l1, "l2": parts.l2, "l1+l2": parts.l1 + parts.l2}[mel_loss]
    assert size == int((steps * reduction).sum())
    torch.testing.assert_close(loss / size, mel + parts.stop + 3.0 * guided)
    values = reduced([logging])
    assert values["loss"] == pytest.approx(loss.item() / size, abs=2e-3)
    assert values["l1_loss"] == pytest.approx(parts.l1.item(), abs=2e-3)
    assert values["guided_loss"] == pytest.approx(guided.item(), abs=2e-5)
    assert 1 / max(LENGTHS) < values["focus_rate"] < 1


@pytest.mark.parametrize(
    "option", [{"stop_weight": 1.0}, {"guided_attention_sigma": 0.1}, {"guided_attention_weight": 0.0},
               {"guided_attention_layers": 1}, {"guided_attention_heads": 1}, {"mel_loss": "l2"}],
    ids=str,
)  # fmt: skip
def test_every_option_takes_effect(option):
    model, batch = tiny_model("t2s").eval(), sample()
    plain, changed = (criterion(**options)(model, batch)[0].item() for options in ({}, option))
    assert abs(plain - changed) > 1e-5 * abs(plain)


def test_logs_of_workers_give_the_ratio_of_sums():
    model, batch = tiny_model("t2s").eval(), sample()
    singles = []
    for row in range(3):
        single = {"id": torch.tensor([row]), "nsentences": 1, "net_input": alone(batch["net_input"], row)}
        singles.append(criterion(guided_attention_weight=0.0)(model, single)[2])
    whole = reduced([criterion(guided_attention_weight=0.0)(model, batch)[2]])
    parts = reduced(singles)
    for name in ("loss", "l1_loss", "l2_loss", "stop_loss"):
        assert parts[name] == pytest.approx(whole[name], abs=2e-3), name


def test_the_sample_size_may_be_utterances():
    model, batch = tiny_model("t2s").eval(), sample()
    frames, sentences = (criterion(sentence_avg=each)(model, batch) for each in (False, True))
    assert sentences[1] == 3 and frames[1] == sum(length - length % 2 for length in FRAMES)
    torch.testing.assert_close(frames[0] / frames[1], sentences[0] / 3)


def test_layers_that_layerdrop_skips_guide_nothing_and_log_the_same_names():
    model, batch = tiny_model("t2s", decoder_layerdrop=0.999).train(), sample()
    loss, _, logging = criterion()(model, batch)
    _, _, usual = criterion()(tiny_model("t2s").train(), batch)
    assert loss.isfinite() and logging.keys() == usual.keys() and logging["guided"] == 0
    assert "focus_rate" not in reduced([logging])
    assert reduced([logging, usual])["focus_rate"] == pytest.approx(reduced([usual])["focus_rate"], abs=1e-3)


@pytest.mark.parametrize("layers", [1, None])
def test_one_layer_can_be_guided(layers):
    model = tiny_model("t2s", decoder_layers=1).train()
    assert criterion(guided_attention_layers=layers)(model, sample())[2]["guided"] > 0


@pytest.mark.parametrize("name, value", [("layers", 3), ("heads", 4)])
def test_more_than_the_decoder_has_is_refused(name, value):
    there = {"layers": 2, "heads": 3}[name]
    with pytest.raises(ValueError, match=f"--guided-attention-{name} is {value}, the decoder has {there}; give 1 to"):
        criterion(**{f"guided_attention_{name}": value})(tiny_model("t2s"), sample())


@pytest.mark.parametrize(
    "name, value, wanted",
    [
        ("stop_weight", -1.0, "a number that is not below 0"),
        ("guided_attention_weight", -10.0, "a number that is not below 0"),
        ("guided_attention_sigma", 0, "a number above 0"),
        ("guided_attention_layers", 0, "a whole number above 0"),
        ("guided_attention_heads", 0, "a whole number above 0"),
    ],
)
def test_values_out_of_range_are_refused(name, value, wanted):
    with pytest.raises(ValueError, match=f"^--{name.replace('_', '-')} {value}: give {wanted}$"):
        criterion(**{name: value})


@pytest.mark.parametrize("job", ["t2s", "s2s"])
def test_everything_that_should_learn_does(job):
    model = tiny_model(job, mask_prob=0.5, mask_channel_prob=0.1, mask_channel_length=4).train()
    criterion()(model, sample(job))[0].backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert not {name for name, gradient in gradients.items() if gradient is None or not gradient.any()}


def test_enhancement_learns_from_the_source():
    model = tiny_model("s2s", reduction_factor=1, speech_prediction="mask").train()
    batch = sample("s2s")
    frames = 1 + batch["net_input"]["sample_lengths"] // 256
    batch["net_input"] |= mel_target(*frames.tolist())
    criterion()(model, batch)[0].backward()
    assert model.speech_decoder_postnet.feat_out.weight.grad.abs().max() > 0


def test_options_of_a_guide_without_weight_are_named(caplog):
    criterion(guided_attention_weight=0.0)
    assert not caplog.text
    criterion(guided_attention_weight=0.0, guided_attention_sigma=0.2, guided_attention_layers=1)
    assert "no effect: --guided-attention-sigma 0.2, --guided-attention-layers 1; it needs --guided-att" in caplog.text


def test_another_error_of_the_frames_is_refused_when_the_criterion_is_built():
    with pytest.raises(ValueError, match=r"--mel-loss is 'huber'; choose one of l1, l2, l1\+l2"):
        criterion(mel_loss="huber")
