"""Every dropout takes its probability from its option, acts in training and rests in evaluation."""

import pytest
import torch
from helpers import mel_target, speech_source, text_tokens, tiny_model

from speecht5_fairseq.modules.attention import MultiheadAttention
from speecht5_fairseq.modules.randomness import Dropout

OPTIONS = {
    "dropout": 0.21, "attention_dropout": 0.22, "activation_dropout": 0.23, "speech_prenet_dropout": 0.24,
    "postnet_dropout": 0.25, "positional_dropout": 0.26,
}  # fmt: skip
PLACES = [  # job, place, option
    ("s2t", "speech_encoder_prenet.dropout", "dropout"),
    ("s2t", "encoder.dropout", "dropout"),
    ("s2t", "encoder.layers.1.dropout", "dropout"),
    ("s2t", "encoder.layers.1.self_attn", "attention_dropout"),
    ("s2t", "encoder.layers.1.feed_forward.activation_dropout", "activation_dropout"),
    ("s2t", "text_decoder_prenet.dropout", "dropout"),
    ("s2t", "decoder.layers.1.dropout", "dropout"),
    ("s2t", "decoder.layers.1.self_attn", "attention_dropout"),
    ("s2t", "decoder.layers.1.encoder_attn", "attention_dropout"),
    ("s2t", "decoder.layers.1.feed_forward.activation_dropout", "activation_dropout"),
    ("s2t", "ctc_head.dropout", "dropout"),
    ("t2s", "text_encoder_prenet.positions.dropout", "positional_dropout"),
    ("t2s", "speech_decoder_prenet.layer_dropout", "speech_prenet_dropout"),
    ("t2s", "speech_decoder_prenet.positions.dropout", "positional_dropout"),
    ("t2s", "speech_decoder_postnet.dropout", "postnet_dropout"),
]
INPUTS = {
    "s2t": {**speech_source(9000, 6000), "prev_output_tokens": text_tokens(7, 5)},
    "t2s": {"source_tokens": text_tokens(9, 6), "seeds": torch.arange(2), **mel_target(12, 8)},
}


def only(model, place):
    """Turn off every dropout but one, whose probability is returned."""
    kept = model.get_submodule(place)
    for module in model.modules():
        if module is not kept and isinstance(module, Dropout):
            module.p = 0.0
        elif module is not kept and isinstance(module, MultiheadAttention):
            module.dropout = 0.0
    return kept.dropout if isinstance(kept, MultiheadAttention) else kept.p


def outputs(model, job):
    """All that a pass gives, in one tensor, with the gradient's path through it."""
    output = model(**INPUTS[job])
    found = [output.text_logits, output.ctc_logits] if job == "s2t" else output.speech[:3]
    return torch.cat([tensor.flatten() for tensor in found])


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize(("job", "place", "option"), PLACES)
def test_a_dropout_acts_in_training_alone(job, place, option, pre_norm):
    model = tiny_model(job, **OPTIONS, pre_norm=pre_norm).train()
    assert only(model, place) == OPTIONS[option]
    first, second = outputs(model, job), outputs(model, job)
    assert not torch.equal(first, second)
    with torch.no_grad():  # where other products may be taken
        assert not torch.equal(outputs(model, job), outputs(model, job))
    model.eval()
    assert torch.equal(outputs(model, job), outputs(model, job))


@pytest.mark.parametrize("job", INPUTS)
def test_every_kind_of_dropout_is_in_the_table(job):
    """Those of the first layers, and of additions that are off, stand for others."""
    model = tiny_model(job, **OPTIONS)
    kinds = {
        name.replace("layers.0.", "layers.1.")
        for name, module in model.named_modules()
        if isinstance(module, (Dropout, MultiheadAttention)) and not name.endswith("lora_dropout")
    }
    listed = {place for _, place, _ in PLACES if place.split(".")[0] in dict(model.named_children())}
    assert kinds == listed
    still = tiny_model(job).train()  # the tiny model's own options: no dropout at all
    assert torch.equal(outputs(still, job), outputs(still, job))
