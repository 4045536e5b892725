"""Which parameters learn at which update."""

import pytest
import torch
from helpers import mel_target, model_over, speech_source, text_tokens, tiny_base, tiny_model

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


def test_something_learns_from_the_start():
    with pytest.raises(ValueError, match="until update 3 nothing would learn; leave a part that learns from the start"):
        tiny_model("s2t", freeze_encoder_updates=5, freeze_decoder_updates=3, freeze="ctc_head:forever")


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


def test_parts_learn_from_their_own_updates_on():
    model = tiny_model("s2t", freeze="encoder.layers.0:4 encoder.layers.1:forever speech_encoder_prenet.extractor:2")
    first, second = (layer.feed_forward.fc1.weight for layer in model.encoder.layers)
    extractor = next(model.speech_encoder_prenet.extractor.parameters())
    other = [
        model.encoder.layer_norm.weight,
        model.decoder.layers[0].feed_forward.fc1.weight,
        model.ctc_head.projection.weight,
    ]
    for updates, learning in [(0, ()), (2, (extractor,)), (4, (extractor, first)), (10**6, (extractor, first))]:
        model.set_num_updates(updates)
        for parameter in (first, second, extractor):
            assert parameter.requires_grad == any(parameter is each for each in learning), updates
        assert all(parameter.requires_grad for parameter in other)


def test_the_later_of_two_times_holds():
    model = tiny_model("s2t", freeze_encoder_updates=3, freeze="encoder.layers:5 encoder.layers.1:2")
    weight, norm = model.encoder.layers[1].feed_forward.fc1.weight, model.encoder.layer_norm.weight
    for updates, learning in [(2, (False, False)), (3, (False, True)), (5, (True, True))]:
        model.set_num_updates(updates)
        assert (weight.requires_grad, norm.requires_grad) == learning


@pytest.mark.parametrize("net", ["text_encoder_prenet", "text_decoder_prenet", "text_decoder_postnet"])
def test_any_net_that_holds_the_embedding_holds_it_back(net):
    model = tiny_model("pretrain", freeze=f"{net}:forever")
    model.set_num_updates(10**6)
    assert not model.text_encoder_prenet.embedding.weight.requires_grad


def test_what_is_frozen_forever_is_off_from_the_start_and_on_no_schedule():
    model = tiny_model("s2t", freeze="encoder:forever")
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())
    assert not model.freezing.used
    model.freezing.release()
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())


def test_a_load_lets_everything_learn_that_ever_will():
    """fairseq's trainer tells the updates of the checkpoint, loads it, and builds the optimizer of what learns then."""
    model = tiny_model("s2t", freeze_encoder_updates=5, freeze="ctc_head:7 decoder.layers.0:forever")
    model.set_num_updates(2)
    model.load_state_dict(tiny_model("s2t").state_dict())
    off = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert off == {name for name, _ in model.named_parameters() if name.startswith("decoder.layers.0.")}
    model.set_num_updates(5)
    assert model.encoder.layer_norm.weight.requires_grad and not model.ctc_head.projection.weight.requires_grad


def test_the_log_tells_what_is_frozen_until_when():
    model = tiny_model("s2t", freeze="encoder.layers.0-1:4 ctc_head:4 speech_encoder_prenet:forever")
    sizes = [sum(p.numel() for p in part.parameters()) for part in (model.encoder.layers, model.speech_encoder_prenet)]
    four = sizes[0] + sum(p.numel() for p in model.ctc_head.parameters())
    assert model.freezing.lines == [
        f"frozen until update 4: encoder.layers, ctc_head ({four:,} weights)",
        f"frozen forever: speech_encoder_prenet ({sizes[1]:,} weights)",
    ]
    assert tiny_model("s2t").freezing.lines == []


@pytest.mark.parametrize(
    "options, waiting",
    [
        ({"freeze_encoder_updates": 5, "freeze_decoder_updates": 5}, ["--freeze-encoder-updates 5"]),
        ({"freeze": "encoder.layers.0-1:4 decoder:4"}, ["--freeze encoder.layers.0:4", "--freeze encoder.layers.1:4"]),
        ({"freeze": "encoder:forever ctc_head:4"}, []),  # as asked
        ({"freeze_encoder_updates": 5, "adapter_parts": "encoder,decoder"}, []),
    ],
)
def test_waiting_for_what_never_learns_is_told(tmp_path, options, waiting):
    model = model_over(tiny_base(tmp_path / "base.pt"), lora_rank=2, **{"adapter_parts": "decoder", **options})
    assert model.freezing.without_effect == waiting


@pytest.mark.parametrize(
    "freeze, message",
    [
        (
            "quantizer:3",
            "--freeze quantizer: there is no quantizer here; its choices are .*text_decoder_prenet, .*ctc_head",
        ),
        (
            "encoder.layers.1-2:3",
            "--freeze encoder.layers.1-2: there is no encoder.layers.2 here; encoder.layers has 0-1",
        ),
        ("encoder:0", "--freeze encoder:0: '0' is neither updates \\(1 or more\\) nor forever"),
        ("encoder:-3", "'-3' is neither updates"),
        ("encoder:ever", "'ever' is neither updates"),
        ("encoder", "'encoder' is no PART:VALUE; give words such as encoder.layers.0-3:4000"),
        ("encoder:3 encoder:4", "encoder comes twice"),
        (
            "encoder:forever speech_encoder_prenet:forever decoder:forever text_decoder_prenet:forever "
            "ctc_head:forever",
            "freezes the whole model forever",
        ),
    ],
)
def test_a_wrong_schedule_is_refused(freeze, message):
    with pytest.raises(ValueError, match=message):
        tiny_model("s2t", freeze=freeze)
