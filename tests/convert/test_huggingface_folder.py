"""Folders for `transformers`: it loads them whole and computes the same; what it cannot hold comes back."""

import json

import pytest
import torch
from conversions import SENTENCES, assert_equal, exported, full_checkpoint, tensors_of
from helpers import SYMBOLS, mel_target, speech_source, text_tokens, tiny_dictionary, tiny_model, tiny_piece_model
from safetensors.torch import load_file, save_file
from transformers import (
    SpeechT5ForSpeechToSpeech,
    SpeechT5ForSpeechToText,
    SpeechT5ForTextToSpeech,
    SpeechT5Processor,
)

from speecht5_fairseq.convert.formats import convert
from speecht5_fairseq.convert.huggingface_files import write_tensors
from speecht5_fairseq.convert.huggingface_folder import OPTIONS_BESIDE, STALE, TENSORS_BESIDE
from speecht5_fairseq.data.mel import log_mel
from speecht5_fairseq.generation.speech import SpeechLimits, generate_speech
from speecht5_fairseq.models.contents import read_contents
from speecht5_fairseq.models.dictionary_change import TIED_EMBEDDINGS
from speecht5_fairseq.models.facts import read_facts

CLASSES = {"s2t": SpeechT5ForSpeechToText, "t2s": SpeechT5ForTextToSpeech, "s2s": SpeechT5ForSpeechToSpeech}
VARIANTS = {
    "plain": {},
    "layer norm": {"extractor_norm": "layer"},
    "one frame a step": {"reduction_factor": 1},
    "without masks": {"mask_prob": 0.0, "mask_channel_prob": 0.0},
}


def loaded(folder, job: str):
    """Their model of a folder, with nothing missing and nothing left, without the dropout that never goes off."""
    theirs, report = CLASSES[job].from_pretrained(folder, local_files_only=True, output_loading_info=True)
    assert not any(report.values()), report
    if job != "s2t":
        theirs.speecht5.decoder.prenet._consistent_dropout = lambda inputs, p: inputs
    return theirs.eval()


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_their_recogniser_computes_ours(tmp_path, variant):
    folder, _, _ = exported(tmp_path, "s2t", **VARIANTS[variant])
    ours, theirs = tiny_model("s2t", **VARIANTS[variant]).eval(), loaded(folder, "s2t")
    source, previous = speech_source(9117), text_tokens(6, start=2)
    expected = theirs(input_values=source["waveform"], decoder_input_ids=previous).logits
    torch.testing.assert_close(ours(**source, prev_output_tokens=previous).text_logits, expected, rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("job", ["t2s", "s2s"])
def test_their_speech_is_ours(tmp_path, job, variant):
    folder, _, _ = exported(tmp_path, job, **VARIANTS[variant])
    ours, theirs = tiny_model(job, **VARIANTS[variant]).eval(), loaded(folder, job)
    speaker = mel_target(1)["speaker"]
    source = {"source_tokens": text_tokens(9)} if job == "t2s" else speech_source(6000)
    inputs = next(iter(source.values()))
    options = {"threshold": 10.0, "minlenratio": 0.0, "maxlenratio": 4.0}
    generate = theirs.generate_speech if job == "s2s" else theirs.generate
    expected = generate(inputs, speaker_embeddings=speaker, **options)
    source.pop("seeds", None)
    limits = SpeechLimits(threshold=10.0, max_ratio=4.0)
    (found,) = generate_speech(ours, ours.encode(**source), speaker, limits=limits)
    assert len(expected) > 8
    torch.testing.assert_close(found.mel, expected, rtol=0, atol=1e-4)


def test_their_search_makes_what_ours_may_make(tmp_path):
    """<s>, <pad>, <mask> and <ctc_blank> come out of no decoder; a text starts and ends with </s>."""
    folder, _, _ = exported(tmp_path, "s2t")
    theirs, dictionary = loaded(folder, "s2t"), tiny_dictionary()
    never = sorted(dictionary.index(symbol) for symbol in ("<s>", "<pad>", "<mask>", "<ctc_blank>"))
    assert sorted(theirs.generation_config.suppress_tokens) == never
    made = theirs.generate(speech_source(6000)["waveform"], max_new_tokens=8)[0].tolist()
    assert made[0] == dictionary.eos() and len(made) > 1 and not set(made[1:]) & set(never)


@pytest.mark.parametrize("job", ["s2t", "t2s"])
def test_their_processor_reads_text_as_ours(tmp_path, job):
    folder, _, _ = exported(tmp_path, job)
    processor, dictionary = SpeechT5Processor.from_pretrained(folder, local_files_only=True), tiny_dictionary()
    for sentence in SENTENCES[:4]:
        pieces = ["▁" + word for word in sentence.split()]
        expected = [dictionary.index(symbol) for symbol in "".join(pieces)]
        assert processor(text=sentence)["input_ids"] == [*expected, dictionary.eos()]
    assert len(processor.tokenizer) == len(dictionary)


def test_their_processor_hears_as_ours(tmp_path):
    """A waveform as it is, and the log-mel of a target."""
    folder, notes, _ = exported(tmp_path, "s2s")
    processor = SpeechT5Processor.from_pretrained(folder, local_files_only=True)
    source = speech_source(5000)
    waveform = source["waveform"][0].numpy()
    heard = processor(audio=waveform, audio_target=waveform, sampling_rate=16_000, return_tensors="pt")
    assert torch.equal(heard["input_values"], source["waveform"])
    mel, _ = log_mel(source["waveform"], source["sample_lengths"])
    torch.testing.assert_close(heard["labels"], mel, rtol=0, atol=1e-3)
    assert "tokenizer knows special symbols alone" in " ".join(notes) and len(processor.tokenizer) == 6


def test_a_job_without_text_takes_a_tokenizer_all_the_same(tmp_path):
    source = full_checkpoint(tmp_path / "ours.pt", "s2s")
    convert(source, tmp_path / "hf", "hf", spm_model=tiny_piece_model(tmp_path / "spm.model"))
    processor = SpeechT5Processor.from_pretrained(tmp_path / "hf", local_files_only=True)
    assert len(processor.tokenizer) == len(SYMBOLS) + 6
    tokens = processor(text=SENTENCES[0])["input_ids"]
    assert processor.tokenizer.decode(tokens, skip_special_tokens=True) == SENTENCES[0]


@pytest.mark.parametrize("job", CLASSES)
def test_there_and_back_is_bit_equal(tmp_path, job):
    folder, _, source = exported(tmp_path, job, task={"text_ends": "eos"} if job == "t2s" else {})
    convert(folder, tmp_path / "back" / "again.pt", "fairseq")
    before, after = (torch.load(path, weights_only=True) for path in (source, tmp_path / "back" / "again.pt"))
    assert_equal(after["model"], before["model"])
    assert after["cfg"]["model"] == before["cfg"]["model"]
    assert after["cfg"]["criterion"].items() >= before["cfg"]["criterion"].items()
    assert after["optimizer_history"] == before["optimizer_history"]
    assert after["cfg"]["task"]["seed"] == 3 and after["cfg"]["task"]["data"] == str(tmp_path / "back")
    if job == "t2s":
        assert after["cfg"]["task"]["text_ends"] == "eos"
    assert (tmp_path / "back" / "dict.txt").is_file() == (job != "s2s")


def test_the_sentencepiece_model_inside_goes_and_comes_back_as_it_was(tmp_path):
    """Of a checkpoint that holds it, far from its file; there its pieces stand in the dictionary's order."""
    spm = tiny_piece_model(tmp_path / "spm.model")
    source, content = full_checkpoint(tmp_path / "ours.pt", "s2t", spm_model=spm), spm.read_bytes()
    spm.unlink()
    convert(source, tmp_path / "hf", "hf")
    assert (tmp_path / "hf" / "spm_char.model").read_bytes() != content
    convert(tmp_path / "hf", tmp_path / "back" / "again.pt", "fairseq")
    assert read_contents(tmp_path / "back" / "again.pt").pieces.content == content
    assert (tmp_path / "back" / "spm.model").read_bytes() == content
    assert_equal(tensors_of(tmp_path / "back" / "again.pt"), tensors_of(source))


@pytest.mark.parametrize("job", CLASSES)
def test_nets_of_other_jobs_stand_beside(tmp_path, job):
    """A pre-trained model goes there job by job, and comes back whole; so does half precision."""
    source = full_checkpoint(tmp_path / "ours.pt", "pretrain")
    state = torch.load(source, weights_only=True)
    state["model"] = {name: t.half() if t.is_floating_point() else t for name, t in state["model"].items()}
    torch.save(state, source)
    spm = tiny_piece_model(tmp_path / "spm.model")
    notes = convert(source, tmp_path / "hf", "hf", job=job, spm_model=spm)
    assert "processor(" not in " ".join(notes)  # it was not trained to speak
    assert {"quantizer", "unit_head", "the symbols", "our options"} <= set(notes[-1].split(": ")[1].split(", "))
    theirs = loaded(tmp_path / "hf", job)
    assert theirs.dtype == torch.float16
    convert(tmp_path / "hf", tmp_path / "back" / "again.pt", "fairseq")
    again = torch.load(tmp_path / "back" / "again.pt", weights_only=True)
    assert_equal(again["model"], state["model"])
    assert again["cfg"]["model"] == state["cfg"]["model"] and again["cfg"]["task"]["_name"] == "speecht5_pretrain"


def test_what_a_text_needs_there_is_said(tmp_path):
    for ends, wanted in (("both", "'<s>' + text"), ("none", "add_special_tokens=False"), ("eos", None)):
        _, notes, _ = exported(tmp_path / ends, "t2s", task={"text_ends": ends, "text_normaliser": "en"})
        told = " ".join(notes)
        assert "--text-normaliser en" in told and ("processor(" in told) == (wanted is not None)
        assert wanted is None or wanted in told
        beside = json.loads((tmp_path / ends / "hf" / OPTIONS_BESIDE).read_text())
        assert beside["notes"] == notes and "/gone" not in json.dumps(beside)


def test_training_there_is_noticed_on_the_way_back(tmp_path):
    folder, _, source = exported(tmp_path, "s2t")
    tensors = load_file(folder / "model.safetensors")
    tensors["speecht5.encoder.wrapped_encoder.layer_norm.bias"] += 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    notes = convert(folder, tmp_path / "back" / "again.pt", "fairseq")
    assert notes == ["model.safetensors has changed since it was written here; as they were then: ctc_head"]
    assert read_facts(tmp_path / "back" / "again.pt").ctc_weight == 0  # the training there had no CTC loss
    again, before = tensors_of(tmp_path / "back" / "again.pt"), tensors_of(source)
    assert torch.equal(again["encoder.layer_norm.bias"], before["encoder.layer_norm.bias"] + 1)
    assert torch.equal(again["ctc_head.projection.weight"], before["ctc_head.projection.weight"])


@pytest.mark.parametrize("job", CLASSES)
def test_a_pre_trained_model_that_was_trained_there_is_of_that_job(tmp_path, job):
    """Saved into the same folder; the embedding that it learnt there is the one of all nets."""
    source = full_checkpoint(tmp_path / "ours.pt", "pretrain", task={"mask_length": 7})
    folder, spm = tmp_path / "hf", tiny_piece_model(tmp_path / "spm.model")
    convert(source, folder, "hf", job=job, spm_model=spm)
    theirs = loaded(folder, job)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 1
    theirs.save_pretrained(folder)
    notes = convert(folder, tmp_path / "back" / "again.pt", "fairseq")
    assert f"trained there for the job {job}, before for pretrain" in notes
    state, before = torch.load(tmp_path / "back" / "again.pt", weights_only=True), tensors_of(source)
    assert state["cfg"]["task"]["_name"] == f"speecht5_{job}" and state["cfg"]["model"]["no_ctc_head"] == (job == "s2t")
    after = state["model"]
    assert torch.equal(after["encoder.layer_norm.bias"], before["encoder.layer_norm.bias"] + 1)
    assert torch.equal(after["quantizer.codebook"], before["quantizer.codebook"])
    tied = [name for name in TIED_EMBEDDINGS if name in after]
    assert len(tied) == 3 and all(torch.equal(after[name], before[name] + (job != "s2s")) for name in tied)
    convert(tmp_path / "back" / "again.pt", tmp_path / "hf2", "hf", spm_model=spm)
    loaded(tmp_path / "hf2", job)


def test_it_comes_back_from_their_own_saving(tmp_path):
    """save_pretrained into another folder, with our two files copied beside."""
    folder, _, source = exported(tmp_path, "s2t")
    other = tmp_path / "other"
    loaded(folder, "s2t").save_pretrained(other)
    SpeechT5Processor.from_pretrained(folder, local_files_only=True).save_pretrained(other)
    for name in (OPTIONS_BESIDE, TENSORS_BESIDE):
        (other / name).write_bytes((folder / name).read_bytes())
    assert convert(other, tmp_path / "back" / "again.pt", "fairseq") == []
    assert_equal(tensors_of(tmp_path / "back" / "again.pt"), tensors_of(source))


def test_writing_over_a_folder_leaves_nothing_of_the_model_before(tmp_path):
    folder, _, _ = exported(tmp_path, "s2t")
    for name in STALE:
        (folder / name).write_text("{}")
    (folder / "mine.txt").write_text("kept")
    convert(full_checkpoint(tmp_path / "s2s.pt", "s2s"), folder, "hf", overwrite=True)
    left = {path.name for path in folder.iterdir()} & {*STALE, "mine.txt"}
    assert left == {OPTIONS_BESIDE, "mine.txt"}
    loaded(folder, "s2s")


@pytest.mark.parametrize("error", [OSError("disk full"), ImportError("writing needs safetensors")])
def test_an_export_that_fails_loses_nothing(tmp_path, monkeypatch, error):
    folder, _, source = exported(tmp_path, "s2t")
    (folder / "pytorch_model.bin").write_text("also there")
    before = {path: path.read_bytes() for path in folder.iterdir()}

    def broken(file, tensors, metadata):
        if file.name == TENSORS_BESIDE:
            raise error
        write_tensors(file, tensors, metadata)

    monkeypatch.setattr("speecht5_fairseq.convert.huggingface_folder.write_tensors", broken)
    with pytest.raises(type(error), match=str(error)):
        convert(source, folder, "hf", spm_model=tmp_path / "spm.model", overwrite=True)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(type(error), match=str(error)):
        convert(source, tmp_path / "new", "hf", spm_model=tmp_path / "spm.model")
    assert not (tmp_path / "new").exists()
