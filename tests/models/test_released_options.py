"""Options of the published code's models in ours."""

from argparse import Namespace
from dataclasses import fields

import pytest

from speecht5_fairseq.models import SpeechT5Config
from speecht5_fairseq.models.checkpoint import trained_prediction
from speecht5_fairseq.models.released_options import (
    FIXED,
    OURS_ALONE,
    PAIRS,
    RENAMED,
    SEVERAL,
    config_from_released,
    released_from_config,
)
from speecht5_fairseq.models.released_presets import PRESETS, released_preset

BASE, LARGE, FINE_TUNING = PRESETS


def test_the_presets_are_those_of_the_published_code():
    base, large, tuned = (config_from_released(Namespace(arch=name)) for name in PRESETS)
    assert (base.embed_dim, base.encoder_layers, base.decoder_layers, base.attention_heads) == (768, 12, 6, 12)
    assert (base.mask_prob, base.encoder_layerdrop, base.activation_dropout, base.feature_grad_mult) == (
        0.8,
        0.05,
        0,
        0.1,
    )
    assert (large.embed_dim, large.ffn_dim, large.encoder_layers, large.attention_heads) == (1024, 4096, 24, 16)
    assert (large.pre_norm, str(large.extractor_norm), large.dropout, large.unit_dim) == (True, "layer", 0, 768)
    assert (tuned.mask_prob, tuned.mask_channel_prob, tuned.mask_channel_length) == (0.75, 0.5, 64)
    assert (tuned.encoder_layerdrop, tuned.activation_dropout, tuned.feature_grad_mult) == (0.1, 0.1, 0)


def test_every_option_goes_to_one_of_ours_that_exists():
    ours = [renamed.ours for renamed in RENAMED.values()]
    assert len(set(ours)) == len(ours)
    assert set(ours) <= {name for name in vars(SpeechT5Config())}
    assert set(PAIRS.values()) <= set(RENAMED)


def test_what_is_given_wins_over_the_preset():
    options = Namespace(
        arch=FINE_TUNING, mask_prob=0.5, encoder_ffn_embed_dim=64, se_predict="target", use_codebook=True
    )
    found = config_from_released(options)
    assert (found.mask_prob, found.ffn_dim, str(found.speech_prediction), found.codebook_prob) == (
        0.5,
        64,
        "mel",
        0.5,
    )


@pytest.mark.parametrize(
    "given, ours",
    [
        ({}, {"codebook_prob": 0.0, "speaker_embedding_dim": 128, "speaker_loss": "softmax"}),
        ({"use_codebook": True, "codebook_prob": 0.1}, {"codebook_prob": 0.1}),
        ({"codebook_prob": 0.1}, {"codebook_prob": 0.0}),  # without --use-codebook the published code has none
        ({"latent_temp": (2, 0.5, 0.99)}, {"gumbel_start": 2.0, "gumbel_end": 0.5, "gumbel_decay": 0.99}),
        ({"sid_no_pooling_bn": True, "sid_no_embed_postnet": True}, {"speaker_embedding_dim": 0}),
        ({"sid_embed_dim": 32}, {"speaker_embedding_dim": 32}),
        ({"sid_softmax_type": "aamsoftmax", "softmax_margin": 0.3}, {"speaker_loss": "aam", "speaker_margin": 0.3}),
        ({"sid_pooling_layer": "encoder"}, {"speaker_pooling": "mean"}),
        ({"conv_feature_layers": "[(96,10,5)] + [(96,3,2)] * 4 + [(96,2,2)] * 2"}, {"conv_channels": 96}),
        ({"layer_norm_first": True, "decoder_normalize_before": True}, {"pre_norm": True}),
    ],
)
def test_options_that_are_made_of_others(given, ours):
    found = config_from_released(Namespace(arch=BASE, **given))
    assert {name: getattr(found, name) for name in ours} == ours


@pytest.mark.parametrize(
    "given, message",
    [
        ({"share_input_output_embed": False}, "--share-input-output-embed False: this code builds True alone"),
        ({"relative_position_embedding": False}, "--relative-position-embedding False"),
        ({"activation_fn": "relu"}, "--activation-fn relu: this code builds gelu alone"),
        ({"spk_embed_integration_type": "add"}, "--spk-embed-integration-type add"),
        (
            {"sid_pooling_layer": "decoder-las"},
            "--sid-pooling-layer decoder-las: not built here; built are decoder, enc",
        ),
        ({"sid_no_pooling_bn": True}, "--sid-no-pooling-bn without --sid-no-embed-postnet"),
        ({"conv_feature_layers": "[(512,10,5)] + [(256,3,2)] * 6"}, r"--conv-feature-layers \[\(512,10,5\)\]"),
        ({"decoder_embed_dim": 512, "encoder_embed_dim": 768}, "--decoder-embed-dim 512 and --encoder-embed-dim 768"),
        ({"decoder_embed_dim": 512}, "--decoder-embed-dim 512 and --encoder-embed-dim 768: .*give both the same"),
        (
            {"transformer_enc_positional_dropout_rate": 0.3},
            "--transformer-dec-positional-dropout-rate 0.1: .*give both",
        ),
    ],
)
def test_what_is_not_built_is_refused_by_its_option(given, message):
    with pytest.raises(ValueError, match=message):
        config_from_released(Namespace(arch=BASE, **given))


@pytest.mark.parametrize("arch", PRESETS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"codebook_prob": 0.0},
        {"codebook_prob": 0.3, "gumbel_start": 1.0, "gumbel_end": 0.1, "gumbel_decay": 0.9},
        {"pre_norm": True, "extractor_norm": "layer", "normalize_waveform": True, "conv_channels": 96},
        {"speaker_pooling": "mean", "speaker_loss": "aam", "speaker_embedding_dim": 32, "speaker_margin": 0.3},
        {"no_ctc_head": True, "freeze": "encoder:3", "layer_lr_decay": 0.9, "freeze_encoder_updates": 4},
    ],
)
def test_options_go_there_and_back(options, arch):
    ours = SpeechT5Config(**options)
    back = config_from_released(released_from_config(ours, arch))
    assert {field.name: getattr(back, field.name) for field in fields(ours)} == vars(ours)


def test_every_option_of_ours_has_a_place_there():
    ours = [renamed.ours for renamed in RENAMED.values()]
    assert sorted([*ours, *SEVERAL, *OURS_ALONE, "_name"]) == sorted(field.name for field in fields(SpeechT5Config))
    made = vars(released_from_config(SpeechT5Config(), BASE))
    assert {*RENAMED, *PAIRS, *FIXED} <= set(made) and not set(made) & set(OURS_ALONE)
    assert (made["arch"], made["se_predict"], made["decoder_embed_dim"]) == (BASE, None, 768)
    assert made["conv_feature_layers"] == "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2"


def test_a_value_that_the_published_code_has_not_is_refused():
    with pytest.raises(
        ValueError, match="--speaker-pooling attentive: the published code has none such; it has mean, dec"
    ):
        released_from_config(SpeechT5Config(speaker_pooling="attentive"), BASE)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"latent_temp": (2, 0.5)}, r"--latent-temp \(2, 0.5\): give three numbers above 0"),
        ({"latent_temp": 5}, "--latent-temp 5: give three numbers above 0"),
        ({"latent_temp": (2, 0.5, 1.5)}, "--latent-temp .*: give three numbers above 0: .* a decay of at most 1"),
        ({"dropout": 1}, "--dropout 1: give a share from 0 to less than 1"),
        ({"postnet_layers": 0}, "--postnet-layers 0: give a whole number above 0"),
        ({"encoder_layers": 0}, "--encoder-layers 0: give a whole number above 0"),
        ({"use_codebook": True, "codebook_prob": 2}, "--codebook-prob 2: give a share from 0 to 1"),
        ({"freeze_encoder_updates": -1}, "--freeze-encoder-updates -1: give a whole number that is not below 0"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_flag(given, message):
    with pytest.raises(ValueError, match=message):
        config_from_released(Namespace(arch=BASE, **given))


def test_code_in_an_option_is_not_run():
    with pytest.raises(ValueError, match="--conv-feature-layers __import__"):
        config_from_released(Namespace(arch=BASE, conv_feature_layers="__import__('os').getcwd()"))


def test_options_of_ours_are_told_apart():
    assert released_preset({"_name": "speecht5"}) is None and released_preset({}) is None
    assert released_preset({"_name": LARGE}) is PRESETS[LARGE]


def test_the_prediction_of_a_released_enhancer_is_known():
    def trained(value):
        return trained_prediction({"cfg": {"model": Namespace(arch=FINE_TUNING, se_predict=value)}})

    assert trained(None) == trained("target") == "mel"
    assert trained("masking") == "masking (--se-predict)"  # another function than our mask: its last layer is new here


@pytest.mark.parametrize("value", ["masking", "delta"])
def test_masks_and_residuals_of_the_log_mel_are_refused(value):
    with pytest.raises(ValueError, match=f"--se-predict {value}: .* not built here; train with --speech-prediction"):
        config_from_released(Namespace(arch=FINE_TUNING, se_predict=value))


@pytest.mark.parametrize("ours", ["mask", "residual"])
def test_our_masks_and_residuals_do_not_go_there(ours):
    with pytest.raises(ValueError, match=f"--speech-prediction {ours}: the published code has none such; it has mel"):
        released_from_config(SpeechT5Config(speech_prediction=ours, reduction_factor=1), FINE_TUNING)


@pytest.mark.parametrize(
    "given, said",
    [
        ({"encoder_layers": "x"}, "--encoder-layers x: give a whole number above 0"),
        ({"mask_prob": "x"}, "--mask-prob x: give a share from 0 to 1"),
        ({"conv_feature_layers": 5}, "conv_feature_layers is 5, wanted is a text"),
        ({"latent_temp": 2}, "--latent-temp 2: give three numbers"),
        ({"latent_temp": (2, 1)}, r"--latent-temp \(2, 1\): give three numbers"),
        ({"extractor_mode": ["default"]}, r"--extractor-mode \['default'\]: not built here"),
    ],
)
def test_values_of_another_kind_are_named(given, said):
    with pytest.raises(ValueError, match=said):
        config_from_released(Namespace(arch=BASE, **given))
