"""Nets that start from initial values: never in silence, and by name unless no pre-training has them."""

import pytest
import torch
from helpers import CLASSES, model_over, tiny_base, tiny_config, tiny_dictionary, tiny_model

from speecht5_fairseq.models import SpeechT5Model
from speecht5_fairseq.models.checkpoint import DictionaryFiles, Start
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.jobs import JOBS
from speecht5_fairseq.models.loading import check_file
from speecht5_fairseq.models.new_nets import check_base
from speecht5_fairseq.models.partial import whole_state
from speecht5_fairseq.models.parts import net_of

TEXT = "text_decoder_postnet,text_decoder_prenet"
SPEECH = "speech_decoder_postnet,speech_decoder_prenet"


def started(there: str, here: str, new_nets: str = "", options=None, **checkpoint_options):
    """(model, its tensors before, the checkpoint) after a start of fine-tuning."""
    checkpoint = tiny_model(there, seed=1, **checkpoint_options).state_dict()
    model = tiny_model(here, seed=2, **(options or {}))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.start = Start(new_nets=new_nets)
    model.load_state_dict(checkpoint)
    return model, before, checkpoint


def nets_with(values, model) -> set[str]:
    """Nets of the model all of whose tensors are equal to ``values``."""
    state = model.state_dict()
    nets = {net_of(name) for name in state} - {"vocabulary", "classes"}
    same = {name: name in values and torch.equal(value, values[name]) for name, value in state.items()}
    return {net for net in nets if all(same[name] for name in state if net_of(name) == net)}


@pytest.mark.parametrize(
    "job, head", [("s2t", {"ctc_head"}), ("s2c", {"speaker_head"}), ("t2s", set()), ("s2s", set())]
)
def test_from_pre_training_only_the_head_of_the_job_is_new(job, head):
    model, before, checkpoint = started("pretrain", job)
    assert nets_with(before, model) == head
    assert nets_with(checkpoint, model) == nets_with(model.state_dict(), model) - head


@pytest.mark.parametrize(
    "there, here, lacks, new_nets",
    [
        ("pretrain_speech", "s2t", "text_decoder_postnet, text_decoder_prenet", TEXT),
        ("pretrain_speech", "t2s", "text_encoder_prenet", "text_encoder_prenet"),
        ("s2t", "t2s", f"{SPEECH.replace(',', ', ')}, a part of text_encoder_prenet", f"{SPEECH},text_encoder_prenet"),
        ("t2s", "s2t", "speech_encoder_prenet", "speech_encoder_prenet"),
        ("s2t", "s2s", SPEECH.replace(",", ", "), SPEECH),
        ("s2t", "pretrain", ".*unit_head", None),
    ],
)
def test_what_a_checkpoint_lacks_is_an_error_that_names_nets_and_option(there, here, lacks, new_nets):
    with pytest.raises(CheckpointError, match=f"^the checkpoint lacks {lacks}, which this job needs") as error:
        started(there, here)
    if new_nets is not None:
        assert f"give --new-nets {new_nets}; else" in str(error.value)
        model, before, _ = started(there, here, new_nets)
        assert set(new_nets.split(",")) <= nets_with(before, model)


def test_pre_training_with_a_quantizer_over_one_without():
    with pytest.raises(CheckpointError, match="lacks quantizer, .*--new-nets quantizer;"):
        started("pretrain", "pretrain", codebook_prob=0.0)


def test_the_file_is_refused_before_the_first_update(tmp_path):
    path = tiny_base(tmp_path / "speech.pt", "pretrain_speech")
    model = tiny_model("s2t")
    with pytest.raises(CheckpointError, match=f"^the checkpoint {path} lacks text_decoder_postnet"):
        check_file(model, path, DictionaryFiles(), Start())
    assert check_file(model, path, DictionaryFiles(), Start(new_nets=TEXT)).new_nets == TEXT
    check_file(model, path, DictionaryFiles(), Start(nets="encoder"))  # which says itself what is taken


def test_a_net_that_is_named_is_new_though_the_checkpoint_has_it():
    model, before, checkpoint = started("s2t", "s2t", "ctc_head decoder")
    assert nets_with(before, model) == {"ctc_head", "decoder"}
    assert {"encoder", "text_decoder_prenet", "speech_encoder_prenet"} <= nets_with(checkpoint, model)


def test_new_text_nets_take_any_dictionary():
    symbols = [*tiny_dictionary().symbols, "Zusatz"]
    other = SpeechT5Model(tiny_config(), JOBS["s2t"], symbols=symbols, padding=1, units=0).state_dict()
    model = tiny_model("s2t")
    model.start = Start(new_nets=f"{TEXT},ctc_head")
    model.load_state_dict(other)
    assert torch.equal(model.encoder.layer_norm.weight, other["encoder.layer_norm.weight"])
    model.start = Start(new_nets="ctc_head")
    with pytest.raises(CheckpointError, match="the dictionary does not fit"):
        model.load_state_dict(other)


def test_a_new_head_takes_any_classes():
    saved = SpeechT5Model(tiny_config(), JOBS["s2c"], symbols=[], padding=0, units=0, classes=CLASSES[:3]).state_dict()
    model = tiny_model("s2c")
    head = model.speaker_head.projection.weight.clone()
    model.start = Start(new_nets="speaker_head")
    model.load_state_dict(saved)
    assert torch.equal(model.speaker_head.projection.weight, head)
    assert torch.equal(model.encoder.layer_norm.weight, saved["encoder.layer_norm.weight"])


@pytest.mark.parametrize("steps, prediction", [(2, "mel"), (1, "mask")])
def test_layers_that_an_option_makes_new_need_no_other_name(steps, prediction, tmp_path):
    path = tmp_path / "s2s.pt"
    saved = tiny_model("s2s", seed=1, reduction_factor=steps).state_dict()
    torch.save({"model": saved, "cfg": {"model": {"speech_prediction": "mel"}}}, path)
    model = tiny_model("s2s", seed=2, reduction_factor=1, speech_prediction=prediction)
    model.start = check_file(model, path, DictionaryFiles(), Start())
    model.load_state_dict(saved)


@pytest.mark.parametrize(
    "new_nets, message",
    [
        ("ctc_haed", "--new-nets ctc_haed: this job builds no ctc_haed; its nets are ctc_head, decoder, encoder, .*"),
        ("unit_head", "--new-nets unit_head: this job builds no unit_head"),
        ("vocabulary", "this job builds no vocabulary"),
        (
            "text_decoder_postnet",
            "--new-nets text_decoder_postnet: text_decoder_postnet and text_decoder_prenet share one embedding; name",
        ),
    ],
)
def test_names_that_cannot_be_new_are_refused(new_nets, message):
    with pytest.raises(CheckpointError, match=message):
        started("pretrain", "s2t", new_nets)


def over(folder, job, base_job, **options):
    model = model_over(tiny_base(folder / "base.pt", base_job), job, **options)
    return whole_state(model).keys(), model.base.lacking


def test_over_a_base_too(tmp_path):
    own, lacking = over(tmp_path, "s2t", "pretrain", lora_rank=2, adapter_dim=3)
    check_base(own, lacking, "", "the base")
    own, lacking = over(tmp_path / "speech", "s2t", "pretrain_speech", lora_rank=2)
    with pytest.raises(CheckpointError, match=f"^the base lacks .*--new-nets {TEXT};"):
        check_base(own, lacking, "", "the base")
    check_base(own, lacking, TEXT, "the base")
    with pytest.raises(CheckpointError, match="the base has decoder; to train it from there give --train-nets decoder"):
        check_base(own, lacking, f"decoder,{TEXT}", "the base")


def test_a_reduction_factor_of_its_own_over_a_base(tmp_path):
    own, lacking = over(tmp_path, "s2s", "pretrain", lora_rank=2, reduction_factor=1)
    check_base(own, lacking, "", "the base")
