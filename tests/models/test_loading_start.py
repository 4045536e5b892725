"""The start of a training: of a checkpoint the parts that are asked for, and layers that it cannot have."""

import argparse
import logging

import pytest
import torch
from helpers import tiny_config, tiny_dictionary, tiny_model

from speecht5_fairseq.models import SpeechT5Model
from speecht5_fairseq.models.checkpoint import DictionaryFiles, Start
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.jobs import JOBS
from speecht5_fairseq.models.loading import check_file


def with_symbols(symbols, job="s2t"):
    return SpeechT5Model(tiny_config(), JOBS[job], symbols=symbols, padding=1, units=0)


def same(model, checkpoint, net):
    """Whether a net of the model has the checkpoint's values."""
    own = {name: value for name, value in model.state_dict().items() if name.split(".")[0] == net}
    return bool(own) and all(torch.equal(value, checkpoint[name]) for name, value in own.items())


def select(nets, job="s2t", donor="pretrain", **options):
    """(model, its tensors before, the checkpoint) after loading only ``nets``."""
    checkpoint, model = tiny_model(donor, seed=1, **options).state_dict(), tiny_model(job, seed=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.start = Start(nets=nets)
    model.load_state_dict(checkpoint)
    return model, before, checkpoint


def test_only_the_parts_that_are_asked_for_are_taken(caplog):
    with caplog.at_level(logging.INFO):
        model, before, checkpoint = select("speech_encoder_prenet, encoder.layers.0")
    chosen = ("speech_encoder_prenet.", "encoder.layers.0.")
    for name, value in model.state_dict().items():
        assert torch.equal(value, checkpoint[name] if name.startswith(chosen) else before[name]), name
    loaded, new, left = caplog.messages
    assert loaded == "loaded from the checkpoint: speech_encoder_prenet, encoder.layers.0"
    assert new == (
        "new, not from the checkpoint (initial values): encoder.relative_positions, encoder.layer_norm, "
        "encoder.layers.1, text_decoder_prenet, decoder, text_decoder_postnet, ctc_head"
    )
    assert left.startswith("left in the checkpoint, not used here: text_encoder_prenet, encoder.relative_positions")


def test_layers_of_a_deeper_model_can_be_taken():
    model, _, checkpoint = select("encoder.layers.0-1 speech_encoder_prenet", encoder_layers=4)
    name = "encoder.layers.1.feed_forward.fc1.weight"
    assert torch.equal(model.state_dict()[name], checkpoint[name])


@pytest.mark.parametrize("net", ["text_decoder_prenet", "text_decoder_postnet"])
def test_one_net_of_the_tied_embedding_brings_it(net):
    model, _, checkpoint = select(net, donor="t2s")  # which has it in the text encoder's pre-net alone
    table = checkpoint["text_encoder_prenet.embedding.weight"]
    assert torch.equal(model.text_decoder_postnet.embedding.weight, table)


def test_a_selection_without_text_takes_any_dictionary():
    symbols = list(tiny_dictionary().symbols)
    checkpoint, model = with_symbols(symbols[:-4]).state_dict(), with_symbols(symbols)
    model.start = Start(nets="encoder")
    model.load_state_dict(checkpoint)
    assert same(model, checkpoint, "encoder")
    model.start = Start(nets="encoder text_decoder_postnet")
    with pytest.raises(CheckpointError, match="the dictionary does not fit"):
        model.load_state_dict(checkpoint)


@pytest.mark.parametrize(
    "nets, message",
    [
        ("encoder,decodr", "--finetune-nets decodr: there is no decodr here; its choices are .*encoder, .*decoder, "),
        ("ctc_head", "--finetune-nets ctc_head: there is no ctc_head here"),  # the model alone has it
        ("unit_head", "--finetune-nets unit_head: there is no unit_head here"),  # the checkpoint alone has it
        ("encoder.layers.1-2", "there is no encoder.layers.2 here; encoder.layers has 0-1"),
        ("vocabulary", "there is no vocabulary here"),
        (",", "names no part"),
    ],
)
def test_parts_that_one_side_lacks_are_refused(nets, message):
    with pytest.raises(CheckpointError, match=message):
        select(nets)


def test_a_selected_part_of_another_size_is_refused_and_others_do_not_matter():
    with pytest.raises(CheckpointError, match="of another size: speech_encoder_prenet"):
        select("speech_encoder_prenet", conv_channels=16)
    select("encoder", conv_channels=16)


def test_the_selection_is_for_the_start_alone():
    checkpoint, model = tiny_model("pretrain", seed=1).state_dict(), tiny_model("s2t", seed=2)
    assert model.start is None
    model.load_state_dict(checkpoint)
    assert same(model, checkpoint, "decoder")


def mask_model(**options):
    return tiny_model("s2s", reduction_factor=1, seed=2, **options)


def test_a_layer_that_predicted_something_else_is_new_at_a_start(tmp_path, caplog):
    """The same shape, another meaning: log-mel frames in the checkpoint, logits of a mask here."""
    path, checkpoint = tmp_path / "mel.pt", tiny_model("s2s", reduction_factor=1, seed=1).state_dict()
    torch.save({"model": checkpoint, "cfg": {"model": {"speech_prediction": "mel"}}}, path)
    model = mask_model(speech_prediction="mask")
    before = model.speech_decoder_postnet.feat_out.weight.clone()
    model.start = check_file(model, path, DictionaryFiles(), Start())
    model.load_state_dict(checkpoint)
    assert torch.equal(model.speech_decoder_postnet.feat_out.weight, before)
    assert torch.equal(
        model.speech_decoder_postnet.prob_out.weight, checkpoint["speech_decoder_postnet.prob_out.weight"]
    )
    assert (
        "--speech-prediction is mask here and mel in the checkpoint, so these are new (initial values): "
        "speech_decoder_postnet.feat_out.bias, speech_decoder_postnet.feat_out.weight"
    ) in caplog.messages


@pytest.mark.parametrize("options", [{"speech_prediction": "mask"}, argparse.Namespace(speech_prediction="mask")])
def test_the_layer_is_taken_where_both_predict_the_same(tmp_path, options):
    path, checkpoint = tmp_path / "mask.pt", mask_model(speech_prediction="mask").state_dict()
    torch.save({"model": checkpoint, "cfg": {"model": options}}, path)
    model = tiny_model("s2s", reduction_factor=1, seed=7, speech_prediction="mask")
    model.start = check_file(model, path, DictionaryFiles(), Start())
    assert model.start.prediction == "mask"
    model.load_state_dict(checkpoint)
    assert same(model, checkpoint, "speech_decoder_postnet")


def test_a_resumed_run_takes_the_layer_whatever_the_file_says():
    checkpoint, model = mask_model(speech_prediction="mask").state_dict(), mask_model(speech_prediction="mask")
    model.load_state_dict(checkpoint)
    assert same(model, checkpoint, "speech_decoder_postnet")
