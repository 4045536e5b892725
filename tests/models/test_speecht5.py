"""The unified model: an utterance is the same alone and in a batch on every path, step by step and as a whole, and
what should learn gets a gradient."""

import pytest
import torch
from helpers import (
    LARGE_LAYOUT,
    alone,
    mel_target,
    speech_source,
    text_tokens,
    tiny_config,
    tiny_dictionary,
    tiny_model,
)

from speecht5_fairseq.models import SpeechT5Model
from speecht5_fairseq.models.jobs import JOBS

SAMPLES, TOKENS, FRAMES = (4000, 9117, 6400), (4, 9, 6), (14, 25, 9)
LAYOUTS = {
    "base": {},
    "layer_norm": {"extractor_norm": "layer"},
    "normalised": {"normalize_waveform": True},
    "pre_norm": {"pre_norm": True},
    "large": LARGE_LAYOUT,
}
PATHS = {
    "s2t": ("s2t", "speech", "text"),
    "t2s": ("t2s", "text", "speech"),
    "s2s": ("s2s", "speech", "speech"),
    "pretrain speech": ("pretrain", "speech", "speech"),
    "pretrain text": ("pretrain", "text", "text"),
    "pretrain speech alone": ("pretrain_speech", "speech", "speech"),
}


def batch_for(source: str, target: str) -> dict:
    eos = tiny_dictionary().eos()
    sources = {
        "speech": speech_source(*SAMPLES, garbage=4.0),
        "text": {"source_tokens": text_tokens(*TOKENS), "seeds": torch.tensor([5, 6, 7])},
    }
    targets = {
        "speech": mel_target(*FRAMES, garbage=30.0),
        "text": {"prev_output_tokens": text_tokens(*TOKENS, seed=1, start=eos)},
    }
    return sources[source] | targets[target]


@torch.no_grad()
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_an_utterance_is_the_same_alone_and_in_a_batch(path, layout):
    job, source, target = path
    model, batch = tiny_model(job, **layout, codebook_prob=0.4).eval(), batch_for(source, target)
    together = model(**batch)
    unit_rows = 0
    for row in range(len(SAMPLES)):
        single, size = model(**alone(batch, row)), int(together.encoded.lengths[row])
        assert int(single.encoded.lengths) == size == single.encoded.states.size(1)
        pairs = [(together.encoded.states[row, :size], single.encoded.states[0])]
        if together.quantized is not None:
            pairs.append((together.quantized.mixed[row, :size], single.quantized.mixed[0]))
        if together.ctc_logits is not None:
            pairs.append((together.ctc_logits[row, :size], single.ctc_logits[0]))
        if together.text_logits is not None:
            pairs.append((together.text_logits[row, : TOKENS[row]], single.text_logits[0]))
        if together.speech is not None:
            frames = int(together.speech.lengths[row])
            assert frames == FRAMES[row] - FRAMES[row] % 2 == int(single.speech.lengths)
            for name in ("coarse", "refined", "stop_logits"):
                pairs.append((getattr(together.speech, name)[row, :frames], getattr(single.speech, name)[0]))
        if together.unit_logits is not None:
            count = len(single.unit_logits)
            pairs.append((together.unit_logits[unit_rows : unit_rows + count], single.unit_logits))
            unit_rows += count
        for ours, expected in pairs:
            torch.testing.assert_close(ours, expected, rtol=1e-5, atol=2e-5)
    assert together.unit_logits is None or unit_rows == len(together.unit_logits)


@torch.no_grad()
@pytest.mark.parametrize("path", [PATHS["pretrain speech"], PATHS["pretrain text"], PATHS["s2t"]])
def test_masks_and_codes_of_training_belong_to_the_utterance(path):
    job, source, target = path
    model, batch = tiny_model(job, codebook_prob=0.4).train(), batch_for(source, target)
    together = model(**batch)
    counts = 0
    for row in range(len(SAMPLES)):
        single, size = model(**alone(batch, row)), int(together.encoded.lengths[row])
        torch.testing.assert_close(together.encoded.states[row, :size], single.encoded.states[0], rtol=1e-5, atol=2e-5)
        if source == "speech":
            assert torch.equal(together.encoded.masked[row, :size], single.encoded.masked[0])
        if job == "pretrain":
            torch.testing.assert_close(
                together.quantized.mixed[row, :size], single.quantized.mixed[0], rtol=1e-5, atol=2e-5
            )
            counts = counts + single.quantized.code_counts
    assert job != "pretrain" or torch.equal(together.quantized.code_counts, counts)


@torch.no_grad()
def test_fine_tuned_models_mask_in_training_only_and_pre_training_always():
    source = speech_source(*SAMPLES)
    previous = text_tokens(*TOKENS, start=2)
    model = tiny_model("s2t")
    assert model.train()(**source, prev_output_tokens=previous).encoded.masked.any()
    assert model.eval()(**source, prev_output_tokens=previous).encoded.masked is None
    assert model.encode(**source).masked is None
    assert tiny_model("pretrain").eval()(**source, **mel_target(*FRAMES)).encoded.masked.any()


@torch.no_grad()
def test_unit_logits_are_those_of_the_masked_frames():
    model, source = tiny_model("pretrain").eval(), speech_source(*SAMPLES)
    output = model(**source, predict_unmasked=True)
    encoded = output.encoded
    everywhere = model.unit_head(encoded.states)
    valid = torch.arange(encoded.states.size(1)) < encoded.lengths[:, None]
    torch.testing.assert_close(output.unit_logits, everywhere[encoded.masked])
    torch.testing.assert_close(output.unmasked_unit_logits, everywhere[valid & ~encoded.masked])
    assert model(**source).unmasked_unit_logits is None


@torch.no_grad()
@pytest.mark.parametrize("pre_norm", [False, True])
def test_decoding_step_by_step_is_teacher_forcing(pre_norm):
    """Beams of 3, rows exchanged after two steps, then the utterance in the middle leaves."""
    model, source, beam = tiny_model("s2t", pre_norm=pre_norm).eval(), speech_source(*SAMPLES), 3
    encoded = model.encode(**source)
    tokens = text_tokens(*[5] * 9, start=tiny_dictionary().eos())
    rows = torch.tensor([2, 2, 0, 3, 5, 4, 8, 6, 7])
    sequences = torch.cat([tokens[rows, :2], tokens[:, 2:]], 1)
    padding = encoded.padding_mask.repeat_interleave(beam, 0)
    expected = model.decode_text(encoded.states.repeat_interleave(beam, 0), padding, sequences).log_softmax(-1)

    state = model.start_decoding(encoded)
    for step in range(2):
        model.next_token_log_probs(tokens[:, step], state)
    state.reorder(rows)
    torch.testing.assert_close(model.next_token_log_probs(tokens[:, 2], state), expected[:, 2], rtol=1e-5, atol=2e-5)
    left = torch.tensor([0, 1, 2, 6, 7, 8])
    state.keep_utterances(torch.tensor([0, 2]))
    state.reorder(left)
    for step in (3, 4):
        found = model.next_token_log_probs(tokens[left, step], state)
        torch.testing.assert_close(found, expected[left, step], rtol=1e-5, atol=2e-5)


@torch.no_grad()
def test_ctc_log_probs_are_normalised_float32():
    model, source = tiny_model("s2t").eval(), speech_source(*SAMPLES)
    encoded = model.encode(**source)
    log_probs = model.ctc_log_probs(encoded)
    assert model.has_ctc and log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs.logsumexp(-1), torch.zeros(log_probs.shape[:2]), rtol=0, atol=1e-5)
    assert not tiny_model("s2t", no_ctc_head=True).has_ctc


def test_only_the_nets_of_the_job_are_built():
    def nets(job, **options):
        return {name.split(".")[0] for name in tiny_model(job, **options).state_dict()}

    body = {"encoder", "decoder"}
    speech_in, speech_out = {"speech_encoder_prenet"}, {"speech_decoder_prenet", "speech_decoder_postnet"}
    text_in, text_out = {"text_encoder_prenet"}, {"text_decoder_prenet", "text_decoder_postnet"}
    assert nets("s2t") == body | speech_in | text_out | {"ctc_head", "vocabulary"}
    assert nets("s2t", no_ctc_head=True) == body | speech_in | text_out | {"vocabulary"}
    assert nets("t2s") == body | text_in | speech_out | {"vocabulary"}
    assert nets("s2s") == body | speech_in | speech_out
    heads = {"unit_head", "quantizer"}
    assert nets("pretrain_speech") == body | speech_in | speech_out | heads
    assert nets("pretrain") == body | speech_in | speech_out | text_in | text_out | heads | {"vocabulary"}
    assert "quantizer" not in nets("pretrain", codebook_prob=0.0)


def test_embeddings_are_one_table():
    model = tiny_model("pretrain")
    table = model.text_encoder_prenet.embedding.weight
    assert table is model.text_decoder_prenet.embedding.weight
    assert table is model.text_decoder_postnet.embedding.weight
    assert sum(parameter.shape == table.shape for parameter in model.parameters()) == 1


def test_fresh_seeds_are_drawn_when_none_are_given():
    model = tiny_model("pretrain").train()
    source = {key: value for key, value in speech_source(16_000).items() if key != "seeds"}
    first, second = (model(**source).encoded.masked for _ in range(2))
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    third = model(**source).encoded.masked
    torch.manual_seed(3)
    assert torch.equal(third, model(**source).encoded.masked)


def test_start_is_bert_and_the_codebook_is_wide():
    torch.manual_seed(0)
    model = SpeechT5Model(tiny_config(embed_dim=96), JOBS["pretrain"], symbols=["a"] * 50, padding=1, units=20)
    assert model.encoder.layers[0].feed_forward.fc1.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert model.encoder.layers[0].self_attn.q_proj.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert (model.encoder.layers[0].feed_forward.fc1.bias == 0).all()
    assert model.text_decoder_prenet.embedding.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert (model.text_decoder_prenet.embedding.weight[1] == 0).all()
    assert model.encoder.relative_positions.vectors.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert model.quantizer.projection.weight.std().item() == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("path", PATHS)
def test_autocast_stays_near_float32(path):
    """fairseq's --amp; with attention dropout almost off, so that every operation of our own takes part."""
    job, source, target = PATHS[path]
    batch, gradients = batch_for(source, target), []
    for enabled in (False, True):
        model = tiny_model(job, codebook_prob=0.0, mask_prob=0.0, attention_dropout=1e-9).train()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            output = model(**batch)
        result = output.text_logits if target == "text" else output.speech.refined
        result.float().square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert 0 < (gradients[1] - gradients[0]).norm() / gradients[0].norm() < 0.1


def test_targets_shorter_than_a_step_are_refused():
    model, source = tiny_model("s2s", reduction_factor=4).eval(), speech_source(400)
    with pytest.raises(ValueError, match="--reduction-factor 4 .* of the batch has 3.*--min-speech-samples"):
        model(**source, **mel_target(3))


def test_pretraining_without_masks_has_logits_of_the_others_only():
    model = tiny_model("pretrain_speech", mask_prob=0.0).train()
    output = model(**speech_source(*SAMPLES), **mel_target(*FRAMES), predict_unmasked=True)
    assert not output.encoded.masked.any() and len(output.unit_logits) == 0
    assert len(output.unmasked_unit_logits) == int(output.encoded.lengths.sum())


def test_a_prediction_from_the_source_needs_a_speech_source():
    with pytest.raises(ValueError, match="--speech-prediction residual starts from the speech source"):
        tiny_model("t2s", speech_prediction="residual", reduction_factor=1)


def test_a_prediction_from_the_source_needs_one_length():
    model = tiny_model("s2s", speech_prediction="mask", reduction_factor=1)
    with pytest.raises(ValueError, match=r"needs sources and targets of one length; .* \[16, 20\] .* \[14, 20\]"):
        model(**speech_source(4000, 5000), **mel_target(14, 20))  # a shorter one beside a longest pair that fits
    assert model(**speech_source(4000), **mel_target(16)).speech.refined.shape == (1, 16, 80)


@pytest.mark.parametrize(
    "job, name, value, wanted",
    [
        ("pretrain", "mask_length", 0, "a whole number above 0"),
        ("pretrain", "mask_length", -3, "a whole number above 0"),
        ("pretrain", "mask_prob", 80.0, "a share from 0 to 1"),
        ("pretrain", "codebook_groups", 0, "a whole number above 0"),
        ("pretrain", "gumbel_decay", 1.5, "a factor above 0, and 1 at most"),
        ("pretrain", "gumbel_end", 0.0, "a number above 0"),
        ("s2t", "encoder_layerdrop", 1.5, "a share from 0 to less than 1"),
        ("s2t", "conv_channels", 0, "a whole number above 0"),
        ("s2t", "relative_distance", 0, "a whole number above 0"),
        ("s2t", "dropout", 1.0, "a share from 0 to less than 1"),
        ("s2t", "feature_grad_mult", -1.0, "a number that is not below 0"),
        ("s2t", "freeze_encoder_updates", -1, "a whole number that is not below 0"),
        ("s2t", "layer_lr_decay", 0.0, "a factor above 0, and 1 at most"),
        ("t2s", "speech_prenet_dropout", 1.0, "a share from 0 to less than 1"),
        ("t2s", "postnet_layers", 0, "a whole number above 0"),
        ("t2s", "reduction_factor", 0, "a whole number above 0"),
    ],
)
def test_values_out_of_range_are_refused(job, name, value, wanted):
    with pytest.raises(ValueError, match=f"^--{name.replace('_', '-')} {value}: give {wanted}$"):
        tiny_model(job, **{name: value})


@pytest.mark.parametrize("name", ["attention_heads", "position_groups"])
def test_what_does_not_divide_the_width_is_named(name):
    with pytest.raises(ValueError, match=f"embed_dim 24 is no multiple of {name} 7; choose"):
        tiny_model("s2t", **{name: 7})
