"""Which parameters learn at which update."""

import pytest
import torch
from helpers import mel_target, speech_source, text_tokens, tiny_model

from speecht5_fairseq.models.freezing import DECODER_NETS, ENCODER_NETS


def learning(model):
    """Nets all of whose parameters learn, and nets none of whose do."""
    states = {}
    for name, parameter in model.named_parameters():
        states.setdefault(name.split(".")[0], set()).add(parameter.requires_grad)
    assert all(len(found) == 1 for found in states.values()), states
    return {net for net, found in states.items() if True in found}


def at(model, updates):
    model.set_num_updates(updates)
    return learning(model)


def test_each_side_learns_from_its_update_on():
    model = tiny_model("s2t", freeze_encoder_updates=5, freeze_decoder_updates=3)
    encoder, decoder = {"encoder", "speech_encoder_prenet"}, {"decoder", "text_decoder_prenet"}
    assert at(model, 0) == {"ctc_head"}
    assert at(model, 2) == {"ctc_head"}
    assert at(model, 3) == {"ctc_head"} | decoder
    assert at(model, 4) == {"ctc_head"} | decoder
    assert at(model, 5) == {"ctc_head"} | decoder | encoder
    assert at(model, 1) == {"ctc_head"}  # a resumed run may go back


@pytest.mark.parametrize("encoder, decoder", [(5, 3), (3, 5), (5, 0), (0, 5)])
def test_the_embedding_that_both_sides_share_learns_when_both_do(encoder, decoder):
    model = tiny_model("pretrain", freeze_encoder_updates=encoder, freeze_decoder_updates=decoder)
    table = model.text_encoder_prenet.embedding.weight
    assert table is model.text_decoder_prenet.embedding.weight
    for updates in (0, 2, 3, 4, 5):
        model.set_num_updates(updates)
        assert table.requires_grad == (updates == 5), updates


def test_without_freezing_everything_learns():
    model = tiny_model("s2t")
    assert not model.freezing.used
    assert at(model, 0) == {"ctc_head", "encoder", "speech_encoder_prenet", "decoder", "text_decoder_prenet"}


def test_an_extractor_that_never_learns_stays_off():
    model = tiny_model("s2t", feature_grad_mult=0.0, freeze_encoder_updates=2)
    model.set_num_updates(2)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen and all(name.startswith("speech_encoder_prenet.extractor.") for name in frozen)
    assert len(frozen) == sum(1 for _ in model.speech_encoder_prenet.extractor.parameters())


@pytest.mark.parametrize("updates", [0, 4])
def test_frozen_parameters_have_no_gradient_and_the_others_one(updates):
    model = tiny_model("s2t", freeze_encoder_updates=4).train()
    model.set_num_updates(updates)
    output = model(**speech_source(6400, 4000), prev_output_tokens=text_tokens(5, 4, start=2))
    (output.text_logits.square().sum() + output.ctc_logits.square().sum()).backward()
    for name, parameter in model.named_parameters():
        if name.split(".")[0] in ENCODER_NETS and updates < 4:
            assert parameter.grad is None, name
        else:
            assert parameter.grad.abs().sum() > 0, name


def test_the_decoder_can_be_frozen_while_the_encoder_learns():
    model = tiny_model("s2s", freeze_decoder_updates=4).train()
    model.set_num_updates(0)
    model(**speech_source(6400), **mel_target(12)).speech.refined.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (name.split(".")[0] in DECODER_NETS), name


def test_temperature_follows_the_updates():
    model = tiny_model("pretrain", gumbel_decay=0.5)
    model.set_num_updates(1)
    assert model.quantizer.temperature == pytest.approx(1.0)


def test_frozen_states_are_those_of_the_learning_model():
    """The frozen encoder takes the path without gradient; its numbers must not change with that."""
    states = []
    for updates in (0, 4):
        model = tiny_model("s2t", freeze_encoder_updates=4, mask_prob=0.0).train()
        model.set_num_updates(updates)
        states.append(model(**speech_source(6400, 4000)).encoded.states)
    assert states[0].requires_grad is False and states[1].requires_grad is True
    torch.testing.assert_close(states[0], states[1].detach(), rtol=1e-5, atol=1e-5)
