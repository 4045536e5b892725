"""Checkpoints in the published code's layout: written as it writes them, and back bit for bit."""

from argparse import Namespace

import pytest
import torch
from conversions import assert_equal, full_checkpoint, tensors_of
from fairseq.checkpoint_utils import load_model_ensemble_and_task
from helpers import CLASSES, LARGE_LAYOUT, SYMBOLS, UNITS, tiny_model, tiny_piece_model, write_lines

from speecht5_fairseq.convert.formats import convert
from speecht5_fairseq.data.dictionary import load_class_dictionary, load_text_dictionary
from speecht5_fairseq.models.contents import read_contents
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.facts import read_facts
from speecht5_fairseq.models.released_format import is_released, to_released
from speecht5_fairseq.models.uses import missing_files

JOBS = ["pretrain", "pretrain_speech", "s2t", "t2s", "s2s", "s2c"]


@pytest.mark.parametrize("layout", ["base", "large"])
@pytest.mark.parametrize("job", JOBS)
def test_there_and_back_is_bit_equal(tmp_path, job, layout):
    source = full_checkpoint(tmp_path / "ours.pt", job, **(LARGE_LAYOUT if layout == "large" else {}))
    convert(source, tmp_path / "there" / "released.pt", "released")
    convert(tmp_path / "there" / "released.pt", tmp_path / "back" / "ours.pt", "fairseq")
    before, after = (torch.load(path, weights_only=True) for path in (source, tmp_path / "back" / "ours.pt"))
    assert_equal(after["model"], before["model"])
    assert after["optimizer_history"] == before["optimizer_history"]
    assert after["cfg"]["task"]["_name"] == before["cfg"]["task"]["_name"] and after["cfg"]["task"]["seed"] == 3
    assert after["cfg"]["model"]["_name"] == ("speecht5_large" if layout == "large" else "speecht5")
    changed = {name for name, value in before["cfg"]["model"].items() if after["cfg"]["model"][name] != value}
    assert not changed - {"_name", *unread(job)}


def test_what_a_checkpoint_holds_besides_comes_back(tmp_path):
    units = [str(unit) for unit in reversed(range(UNITS))]
    for job, more in (
        ("s2t", {"spm_model": tiny_piece_model(tmp_path / "spm.model")}),
        ("pretrain", {"units": units, "unit_source": {"model": "0123456789abcdef", "features": "mfcc"}}),
    ):
        source = full_checkpoint(tmp_path / job / "ours.pt", job, **more)
        convert(source, tmp_path / job / "there" / "released.pt", "released")
        convert(tmp_path / job / "there" / "released.pt", tmp_path / job / "back" / "ours.pt", "fairseq")
        before, after = (read_contents(path) for path in (source, tmp_path / job / "back" / "ours.pt"))
        assert after.symbols == before.symbols and after.units == before.units == more.get("units", [])
        assert after.unit_source == before.unit_source == more.get("unit_source", {})
        assert (after.pieces and after.pieces.content) == (before.pieces and before.pieces.content)


@pytest.mark.parametrize(
    "job, options",
    [
        ("s2c", {"speaker_pooling": "mean", "speaker_loss": "aam"}),
        ("s2t", {"no_ctc_head": True}),
        ("pretrain", {"codebook_prob": 0.0}),
    ],
)
def test_variants_of_jobs_come_back_too(tmp_path, job, options):
    source = full_checkpoint(tmp_path / "ours.pt", job, **options)
    convert(source, tmp_path / "there" / "released.pt", "released")
    convert(tmp_path / "there" / "released.pt", tmp_path / "back" / "ours.pt", "fairseq")
    after = torch.load(tmp_path / "back" / "ours.pt", weights_only=True)
    assert_equal(after["model"], tensors_of(source))
    assert {name: after["cfg"]["model"][name] for name in options} == options


def unread(job: str) -> set[str]:
    """Options of nets that a job does not build: nothing in a checkpoint depends on them."""
    heads = {"unit_dim", "codebook_entries"} if not job.startswith("pretrain") else set()
    names = {"speech_prenet_dim", "speech_prenet_dropout", "postnet_layers", "postnet_channels", "postnet_dropout"}
    heads |= names | {"positional_dropout"} if job in ("s2t", "s2c") else set()
    encoder = ("conv_channels", "feature_grad_mult", "position_kernel", "position_groups", "mask_length")
    return heads | ({*encoder, "mask_channel_length"} if job == "t2s" else set())


def test_the_file_is_laid_out_as_theirs(tmp_path):
    source = full_checkpoint(tmp_path / "ours.pt", "s2t", task={"spm_model": None})
    notes = convert(source, tmp_path / "there" / "released.pt", "released")
    state = torch.load(tmp_path / "there" / "released.pt", weights_only=True)
    assert list(state) == [
        "args", "cfg", "model", "criterion", "optimizer_history", "task_state", "extra_state", "last_optimizer_state",
    ]  # fmt: skip
    model, task = state["cfg"]["model"], state["cfg"]["task"]
    assert isinstance(model, Namespace) and isinstance(task, Namespace)
    assert (model.arch, model.encoder_embed_dim, model.decoder_ffn_embed_dim) == ("t5_transformer_base_asr", 24, 40)
    assert model.share_input_output_embed and not model.use_codebook and not hasattr(model, "no_ctc_head")
    assert (task._name, task.t5_task) == ("speecht5", "s2t") and not hasattr(task, "save_dir")
    assert is_released(state["model"])
    assert_equal(state["model"], to_released(tiny_model("s2t").state_dict()))
    assert notes == [
        "not there, though the published code builds them in every job: speech_decoder_postnet, speech_decoder_prenet, "
        "text_encoder_prenet"
    ]


def test_it_loads_by_its_own_options_alone(tmp_path):
    """As fairseq's own loader does it: the task, of which a flag that is not there would be missed, and the model."""
    for job in ("s2t", "t2s", "s2s", "s2c"):
        source = full_checkpoint(tmp_path / job / "ours.pt", job)
        convert(source, tmp_path / job / "there" / "released.pt", "released")
        (model,), _, task = load_model_ensemble_and_task([str(tmp_path / job / "there" / "released.pt")])
        assert_equal(model.state_dict(), tensors_of(source))
        assert type(task).__name__ == f"{job.upper()}Task"


def test_the_losses_of_its_training_go_along(tmp_path):
    """They tell whether the CTC head has learnt anything: recognition asks for its scores."""
    source = full_checkpoint(tmp_path / "ours.pt", "s2t")
    convert(source, tmp_path / "untold.pt", "released")
    assert read_losses(tmp_path / "untold.pt") is None  # this training does not tell
    losses = {"ce_weight": 0.5, "ctc_weight": 0.25, "label_smoothing": 0.1}
    state = torch.load(source, weights_only=True)
    state["cfg"]["criterion"] |= losses
    torch.save(state, source)
    convert(source, tmp_path / "there" / "released.pt", "released")
    assert vars(read_losses(tmp_path / "there" / "released.pt")) == {**losses, "_name": "speecht5"}
    convert(tmp_path / "there" / "released.pt", tmp_path / "back" / "ours.pt", "fairseq")
    assert read_losses(tmp_path / "back" / "ours.pt").items() >= losses.items()


def read_losses(path):
    return torch.load(path, weights_only=True)["cfg"]["criterion"]


def test_a_checkpoint_of_the_published_lines_is_ours_with_their_options(tmp_path):
    """Trained by this code with ``--task speecht5``: our names, the whole published command line beside."""
    convert(full_checkpoint(tmp_path / "ours.pt", "t2s"), tmp_path / "there" / "released.pt", "released")
    state = torch.load(tmp_path / "there" / "released.pt", weights_only=True)
    spm = tiny_piece_model(tmp_path / "spm.model")
    state["model"] = tensors_of(tmp_path / "ours.pt")
    state["cfg"]["task"].bpe_tokenizer, state["cfg"]["task"].user_dir = str(spm), "/home/someone"
    torch.save(state, tmp_path / "theirs.pt")
    notes = convert(tmp_path / "theirs.pt", tmp_path / "hf", "hf")
    assert "texts end without </s>" in " ".join(notes)
    assert "someone" not in (tmp_path / "hf" / "speecht5_fairseq.json").read_text()
    convert(tmp_path / "hf", tmp_path / "back" / "ours.pt", "fairseq")
    assert_equal(tensors_of(tmp_path / "back" / "ours.pt"), state["model"])
    with pytest.raises(ValueError, match="theirs.pt: is the checkpoint file of this code already"):
        convert(tmp_path / "theirs.pt", tmp_path / "out.pt", "fairseq")


def test_the_dictionary_stands_beside_as_theirs(tmp_path):
    convert(full_checkpoint(tmp_path / "s2t.pt", "s2t"), tmp_path / "s2t" / "released.pt", "released")
    assert (tmp_path / "s2t" / "dict.txt").read_text(encoding="utf-8") == "".join(f"{s} 1\n" for s in SYMBOLS)
    assert load_text_dictionary(tmp_path / "s2t" / "dict.txt").symbols[-2:] == ["<mask>", "<ctc_blank>"]
    convert(full_checkpoint(tmp_path / "s2c.pt", "s2c"), tmp_path / "s2c" / "released.pt", "released")
    assert load_class_dictionary(tmp_path / "s2c" / "dict.txt") == list(CLASSES)
    convert(full_checkpoint(tmp_path / "s2s.pt", "s2s"), tmp_path / "s2s" / "released.pt", "released")
    assert [path.name for path in (tmp_path / "s2s").iterdir()] == ["released.pt"]


def released(path, job: str, task: str, **options):
    """A checkpoint as the published code saves it: every net of `job`, without our symbols; returns the file."""
    convert(full_checkpoint(path.with_name("ours.pt"), job, **options), path, "released")
    path.with_name("dict.txt").unlink(missing_ok=True)
    state = torch.load(path, weights_only=True)
    state["cfg"]["task"] = Namespace(_name="speecht5", t5_task=task, data="/gone", bpe_tokenizer="/gone/spm.model")
    torch.save(state, path)
    return path


def test_a_file_with_every_net_is_of_the_job_of_its_task(tmp_path):
    """As theirs are: recognition is told from the task; the nets that it does not use stay in the checkpoint."""
    source = released(tmp_path / "all" / "asr.pt", "pretrain", "s2t")
    write_lines(tmp_path / "dict.txt", [f"{symbol} 1" for symbol in SYMBOLS])
    notes = convert(source, tmp_path / "out" / "asr.pt", "fairseq", dictionary=tmp_path / "dict.txt")
    state = torch.load(tmp_path / "out" / "asr.pt", weights_only=True)
    assert state["cfg"]["task"]["_name"] == "speecht5_s2t" and state["cfg"]["model"]["no_ctc_head"]
    assert_equal(state["model"], tensors_of(tmp_path / "all" / "ours.pt"))
    assert len(state["model"]["unit_head.embeddings"]) == UNITS
    assert notes[0].startswith("read by nothing and left out: decoder.layers.0.norm_k.bias")


def test_without_a_dictionary_the_symbols_are_not_in_the_file(tmp_path):
    source = released(tmp_path / "asr.pt", "s2t", "s2t")
    notes = convert(source, tmp_path / "out" / "asr.pt", "fairseq")
    assert "no symbols: give --dict dict.txt" in notes
    assert "vocabulary.symbols" not in tensors_of(tmp_path / "out" / "asr.pt")
    assert not (tmp_path / "out" / "dict.txt").exists()
    with pytest.raises(CheckpointError, match="needs the symbols .*; give --dict dict.txt"):
        convert(source, tmp_path / "hf", "hf")


@pytest.mark.parametrize("job", ["s2t", "t2s"])
def test_a_sentencepiece_model_that_is_not_there_is_asked_for(tmp_path, job):
    """At every conversion, and by what is written; whether the published checkpoint tells of its own or not."""
    source = released(tmp_path / "theirs.pt", job, job)
    for named in ("/gone/spm.model", None):
        state = torch.load(source, weights_only=True)
        state["cfg"]["task"].bpe_tokenizer = named
        torch.save({**state, "task_state": {}}, source)
        lacking = "no sentencepiece model, which cuts the texts: give --spm-model spm.model"
        out = tmp_path / "out" / "ours.pt"
        assert lacking in convert(source, out, "fairseq", overwrite=True)
        assert lacking in convert(out, tmp_path / "again.pt", "released", overwrite=True)
        for path in (source, out, tmp_path / "again.pt"):
            assert missing_files(read_facts(path)) == ["dict.txt", "spm.model"]
    spm = tiny_piece_model(tmp_path / "spm.model")
    assert lacking not in convert(source, tmp_path / "whole" / "ours.pt", "fairseq", spm_model=spm)
    assert missing_files(read_facts(tmp_path / "whole" / "ours.pt")) == ["dict.txt"]


def test_what_was_trained_with_pieces_lacks_no_sentencepiece_model(tmp_path):
    source = full_checkpoint(tmp_path / "ours.pt", "s2t", task={"spm_model": "none"})
    assert "sentencepiece" not in " ".join(convert(source, tmp_path / "there" / "released.pt", "released"))
    assert missing_files(read_facts(tmp_path / "there" / "released.pt")) == ["dict.txt"]


def test_names_of_classes_that_are_not_there_are_asked_for(tmp_path):
    source = released(tmp_path / "sid.pt", "s2c", "s2c")
    assert "no names of classes: give --dict dict.txt" in convert(source, tmp_path / "out" / "sid.pt", "fairseq")


def test_the_dictionary_beside_is_taken_and_said(tmp_path):
    source = released(tmp_path / "asr.pt", "s2t", "s2t")
    file = write_lines(tmp_path / "dict.txt", [f"{symbol} 1" for symbol in SYMBOLS])
    assert f"symbols: those of {file}" in convert(source, tmp_path / "out" / "asr.pt", "fairseq")
    assert "vocabulary.symbols" in tensors_of(tmp_path / "out" / "asr.pt")
    write_lines(file, [f"{symbol} 1" for symbol in SYMBOLS[:-1]])
    with pytest.raises(CheckpointError, match=f"^{file}: 33 symbols, but 34 rows in {source}"):
        convert(source, tmp_path / "out2" / "asr.pt", "fairseq")


def test_options_of_ours_alone_come_back(tmp_path):
    source = full_checkpoint(tmp_path / "ours.pt", "s2t", no_ctc_head=True, layer_lr_decay=0.8)
    notes = convert(source, tmp_path / "there" / "released.pt", "released")
    assert "ctc_head" in notes[0]
    convert(tmp_path / "there" / "released.pt", tmp_path / "back" / "ours.pt", "fairseq")
    options = torch.load(tmp_path / "back" / "ours.pt", weights_only=True)["cfg"]["model"]
    assert options["no_ctc_head"] and options["layer_lr_decay"] == 0.8


def test_what_they_have_not_is_refused(tmp_path):
    source = full_checkpoint(tmp_path / "ours.pt", "s2c", speaker_pooling="attentive")
    with pytest.raises(
        ValueError, match="--speaker-pooling attentive: the published code has none such; it has mean, dec"
    ):
        convert(source, tmp_path / "there" / "released.pt", "released")
    assert not (tmp_path / "there").exists()


def test_tensors_without_their_options_are_refused(tmp_path):
    torch.save({"model": to_released(tiny_model("s2t").state_dict())}, tmp_path / "bare.pt")
    with pytest.raises(CheckpointError, match="bare.pt: tensors of the published code without its options"):
        convert(tmp_path / "bare.pt", tmp_path / "out.pt", "fairseq")


def test_missing_and_resized_tensors_are_all_named(tmp_path):
    source = released(tmp_path / "asr.pt", "s2t", "s2t")
    state = torch.load(source, weights_only=True)
    del state["model"]["encoder.layers.1.fc1.bias"]
    state["model"]["encoder.proj.bias"] = torch.zeros(3)
    torch.save(state, source)
    with pytest.raises(
        CheckpointError, match="asr.pt: 2 tensors do not fit the options in it: .*fc1.bias is missing"
    ) as e:
        convert(source, tmp_path / "out" / "asr.pt", "fairseq")
    assert e.match("ctc_head.projection.bias has shape .3,., not .34,.")
