"""Factors on the learning rate: which parameter has which, and what is refused."""

import pytest
from helpers import LARGE_LAYOUT, tiny_model

from speecht5_fairseq.models.rates import depth

HALF = {"layer_lr_decay": 0.5}


def factors(model):
    return {name: model.rates.factors[p] for name, p in model.named_parameters(remove_duplicate=False)}


def test_depth_counts_layers_from_the_top_of_the_decoder():
    """Two layers in each stack."""
    model = tiny_model("s2t")
    expected = {
        "ctc_head.projection.bias": 0,
        "text_decoder_postnet.embedding.weight": 0,
        "decoder.layers.1.feed_forward.fc1.weight": 0,
        "decoder.layers.0.feed_forward.fc1.weight": 1,
        "text_decoder_prenet.embedding.weight": 2,
        "encoder.layers.1.feed_forward.fc1.weight": 2,
        "encoder.layers.0.feed_forward.fc1.weight": 3,
        "encoder.layer_norm.weight": 3,  # on the input of the stack
        "speech_encoder_prenet.projection.weight": 4,
    }
    names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    assert expected.keys() <= names
    assert {name: depth(name, model) for name in expected} == expected


def test_the_final_norm_of_a_pre_norm_stack_goes_with_its_top():
    model = tiny_model("s2t", **LARGE_LAYOUT)
    assert depth("encoder.layer_norm.weight", model) == depth("encoder.layers.1.fc1.weight", model) == 2
    assert depth("decoder.layer_norm.weight", model) == depth("decoder.layers.1.fc1.weight", model) == 0
    assert depth("encoder.relative_positions.embedding.weight", model) == 3


def test_the_rate_decays_with_depth_and_the_tied_embedding_stands_lowest():
    found = factors(tiny_model("pretrain", **HALF))
    assert found["decoder.layers.1.feed_forward.fc1.weight"] == 1
    assert found["encoder.layers.0.feed_forward.fc1.weight"] == 0.125
    assert found["text_encoder_prenet.embedding.weight"] == found["text_decoder_postnet.embedding.weight"] == 0.0625
    assert found["speech_decoder_prenet.layers.0.weight"] == 0.25


def test_named_factors_multiply():
    found = factors(tiny_model("s2t", **HALF, lr_factors="ctc_head:10 encoder:0.1 encoder.layers.0-1:2"))
    assert found["ctc_head.projection.weight"] == 10
    assert found["encoder.layers.1.feed_forward.fc1.weight"] == pytest.approx(0.25 * 0.1 * 2)
    assert found["encoder.layer_norm.weight"] == pytest.approx(0.125 * 0.1)
    assert found["decoder.layers.0.feed_forward.fc1.weight"] == 0.5


def test_a_factor_of_one_net_reaches_what_it_shares():
    found = factors(tiny_model("s2t", **HALF, lr_factors="text_decoder_postnet:10"))
    assert found["text_decoder_prenet.embedding.weight"] == found["text_decoder_postnet.embedding.weight"] == 2.5


def test_parameters_carry_their_factor_and_their_part():
    model = tiny_model("s2t", **HALF)
    layer = model.encoder.layers[1].feed_forward.fc1.weight
    name = "encoder.layers.1.feed_forward.fc1.weight"
    assert layer.param_group == {"lr_scale": 0.25, "part": "encoder.layers.1", "name": name}
    plain = tiny_model("s2t")
    assert not plain.rates.used and not plain.rates.lines
    assert not any(hasattr(parameter, "param_group") for parameter in plain.parameters())


def test_the_table_names_every_part_once():
    model = tiny_model("s2t", **HALF, freeze="ctc_head:forever")
    total = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert [line.split()[2] for line in model.rates.lines] == ["1", "0.5", "0.25", "0.125", "0.0625"]
    assert sum(int(line.split()[3].replace(",", "")) for line in model.rates.lines) == total
    assert model.rates.lines[0].endswith("weights  decoder.layers.1")
    assert model.rates.lines[-1].endswith("weights  speech_encoder_prenet")
    assert "ctc_head" not in "".join(model.rates.lines)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"layer_lr_decay": 0.0}, r"--layer-lr-decay 0.0: give a factor above 0"),
        ({"layer_lr_decay": 1.1}, r"--layer-lr-decay 1.1"),
        ({"lr_factors": "ctc:10"}, r"--lr-factors ctc: there is no ctc here; its choices are .*ctc_head"),
        ({"lr_factors": "ctc_head:ten"}, r"--lr-factors ctc_head:ten: 'ten' is no number above 0"),
        ({"lr_factors": "ctc_head:0"}, r"--freeze ctc_head:forever"),
        ({"lr_factors": "ctc_head:inf"}, r"'inf' is no number above 0"),
        ({"lr_factors": "ctc_head:2", "freeze": "ctc_head:forever"}, r"--lr-factors ctc_head:2: ctc_head never learns"),
    ],
)
def test_wrong_factors_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tiny_model("s2t", **options)
