"""Folders that `transformers` made itself become checkpoints of ours that compute the same."""

import json
import math

import pytest
import torch
from conversions import SENTENCES, tensors_of
from helpers import mel_target, scramble, speech_source, tiny_config, tiny_piece_model
from safetensors.torch import load_file, save_file
from transformers import (
    AddedToken,
    SpeechT5Config,
    SpeechT5FeatureExtractor,
    SpeechT5ForSpeechToSpeech,
    SpeechT5ForSpeechToText,
    SpeechT5ForTextToSpeech,
    SpeechT5Processor,
    SpeechT5Tokenizer,
)

from speecht5_fairseq.convert.formats import convert
from speecht5_fairseq.convert.huggingface_options import config_to_huggingface
from speecht5_fairseq.data.dictionary import load_text_dictionary
from speecht5_fairseq.data.labels import TextLabels
from speecht5_fairseq.data.manifest import TextLines
from speecht5_fairseq.data.source_text import SourceText
from speecht5_fairseq.generation.speech import SpeechLimits, generate_speech
from speecht5_fairseq.models import SpeechT5Model
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.jobs import JOBS

CLASSES = {"s2t": SpeechT5ForSpeechToText, "t2s": SpeechT5ForTextToSpeech, "s2s": SpeechT5ForSpeechToSpeech}
PUBLISHED_IDS = {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3}
OTHER_IDS = {"unk_id": 0, "pad_id": 1, "bos_id": 2, "eos_id": 3}


def made(folder, job: str, *, ids=PUBLISHED_IDS, rows: int = 0, added: bool = True, processor: bool = True, **settings):
    """A model with random weights and its processor, saved to `folder` by `transformers`; `rows` more than tokens."""
    tokenizer = SpeechT5Tokenizer(str(tiny_piece_model(folder.with_name(f"{folder.name}-spm.model"), **ids)))
    if added:
        tokenizer.add_special_tokens({"mask_token": AddedToken("<mask>", lstrip=True)})
        tokenizer.add_tokens(["<ctc_blank>"])
    own = {"vocab_size": len(tokenizer) + rows, "pad_token_id": tokenizer.pad_token_id}
    own |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    own |= {"decoder_start_token_id": tokenizer.eos_token_id}
    plain = config_to_huggingface(tiny_config(), job, vocabulary=0, dtype="float32")
    torch.manual_seed(1)
    theirs = scramble(CLASSES[job](SpeechT5Config(**{**plain, **own, **settings}))).eval()
    theirs.save_pretrained(folder)
    if processor:
        SpeechT5Processor(SpeechT5FeatureExtractor(), tokenizer).save_pretrained(folder)
    return theirs, tokenizer


def ours_of(path, job: str) -> tuple[SpeechT5Model, dict]:
    """A model of the options in a checkpoint of ours, with its tensors, and its other options."""
    state = torch.load(path, weights_only=True)
    symbols = load_text_dictionary(path.with_name("dict.txt")).symbols if job != "s2s" else []
    options = {name: value for name, value in state["cfg"]["model"].items()}
    model = SpeechT5Model(tiny_config(**options), JOBS[job], symbols=list(symbols), padding=1, units=0)
    model.whole = True
    model.load_state_dict(state["model"])
    return model.eval(), state["cfg"]


@torch.no_grad()
@pytest.mark.parametrize("ids", [PUBLISHED_IDS, OTHER_IDS], ids=["published ids", "other ids"])
def test_a_recogniser_computes_the_same_at_our_indices(tmp_path, ids):
    theirs, tokenizer = made(tmp_path / "hf", "s2t", ids=ids)
    notes = convert(tmp_path / "hf", tmp_path / "out" / "asr.pt", "fairseq")
    assert notes[0] == "made by transformers: SpeechT5ForSpeechToText, the job s2t"
    assert "there is no CTC head: --no-ctc-head" in notes
    ours, cfg = ours_of(tmp_path / "out" / "asr.pt", "s2t")
    assert cfg["model"]["no_ctc_head"] and (cfg["criterion"]["ce_weight"], cfg["criterion"]["ctc_weight"]) == (1, 0)
    dictionary = load_text_dictionary(tmp_path / "out" / "dict.txt")
    places = [tokenizer.convert_tokens_to_ids(symbol) for symbol in dictionary.symbols]
    assert (places == list(range(len(places)))) == (ids == PUBLISHED_IDS)
    source, previous = speech_source(6000), torch.tensor([[2, 9, 4, 30, 7]])
    expected = theirs(input_values=source["waveform"], decoder_input_ids=torch.tensor(places)[previous]).logits
    found = ours(**source, prev_output_tokens=previous).text_logits
    torch.testing.assert_close(found, expected[..., places], rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("job", ["t2s", "s2s"])
def test_their_speech_comes_out_the_same(tmp_path, job):
    theirs, tokenizer = made(tmp_path / "hf", job, ids={} if job == "t2s" else PUBLISHED_IDS)
    theirs.speecht5.decoder.prenet._consistent_dropout = lambda inputs, p: inputs
    convert(tmp_path / "hf", tmp_path / "out" / "voice.pt", "fairseq")
    ours, cfg = ours_of(tmp_path / "out" / "voice.pt", job)
    speaker, source = mel_target(1)["speaker"], speech_source(6000)
    source.pop("seeds")
    inputs = source["waveform"]
    if job == "t2s":
        dictionary = load_text_dictionary(tmp_path / "out" / "dict.txt")
        lines = TextLines((tmp_path / "text.txt", (tmp_path / "text.txt").write_text(SENTENCES[0] + "\n"))[0])
        labels = TextLabels(lines, dictionary, cfg["task"]["spm_model"])
        tokens = SourceText(labels, ends=cfg["task"]["text_ends"]).tokens(0)[0]
        inputs = torch.tensor([tokenizer(SENTENCES[0]).input_ids])
        assert [dictionary.symbols[index] for index in tokens] == tokenizer.convert_ids_to_tokens(inputs[0])
        source = {"source_tokens": tokens[None]}
    options = {"threshold": 10.0, "minlenratio": 0.0, "maxlenratio": 4.0}
    generate = theirs.generate_speech if job == "s2s" else theirs.generate
    expected = generate(inputs, attention_mask=torch.ones_like(inputs).long(), speaker_embeddings=speaker, **options)
    limits = SpeechLimits(threshold=10.0, max_ratio=4.0)
    (found,) = generate_speech(ours, ours.encode(**source), speaker, limits=limits)
    torch.testing.assert_close(found.mel, expected, rtol=0, atol=1e-4)


def test_symbols_and_rows_of_one_side_alone_are_told(tmp_path):
    """Without <mask> and <ctc_blank> in their tokenizer, and with rows to round the table up."""
    made(tmp_path / "hf", "s2t", added=False, rows=5)
    notes = convert(tmp_path / "hf", tmp_path / "out" / "asr.pt", "fairseq")
    assert "new symbols, zeros in the embedding: <mask>, <ctc_blank>" in notes
    assert "left: 5 rows of the embedding that the tokenizer has no symbol for" in notes
    table = tensors_of(tmp_path / "out" / "asr.pt")["text_decoder_prenet.embedding.weight"]
    assert len(table) == len(load_text_dictionary(tmp_path / "out" / "dict.txt"))
    assert not table[-2:].any() and table[-3].any()


def test_a_model_that_never_masks_has_a_vector_of_zeros(tmp_path):
    theirs, _ = made(tmp_path / "hf", "s2s", mask_time_prob=0.0, mask_feature_prob=0.0)
    assert not any("masked_spec_embed" in name for name in theirs.state_dict())
    notes = convert(tmp_path / "hf", tmp_path / "out.pt", "fairseq")
    assert any("vector of masked frames, zeros" in note for note in notes)
    assert not tensors_of(tmp_path / "out.pt")["speech_encoder_prenet.mask_embedding"].any()


def test_what_transformers_leaves_to_its_defaults_is_read_as_theirs(tmp_path):
    """config.json may hold no more than what differs."""
    dropouts = {"activation_dropout": 0.1, "positional_dropout": 0.2, "feat_proj_dropout": 0.3}
    made(tmp_path / "hf", "s2t", encoder_layerdrop=0.1, **dropouts)
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    for name in ("activation_dropout", "encoder_layerdrop", "conv_kernel", "hidden_act", "vocab_sizes"):
        config.pop(name, None)
    (tmp_path / "hf" / "config.json").write_text(json.dumps(config))
    notes = convert(tmp_path / "hf", tmp_path / "out" / "asr.pt", "fairseq")
    options = torch.load(tmp_path / "out" / "asr.pt", weights_only=True)["cfg"]["model"]
    assert (options["activation_dropout"], options["encoder_layerdrop"]) == (0.1, 0.1)
    assert options["positional_dropout"] == 0.2
    assert "feat_proj_dropout is 0.3 there; here --dropout, 0.0, acts there too in training" in notes


def test_files_of_older_versions_are_read(tmp_path):
    """Weight norm as older torch has it, tables of positions, a pickle instead of safetensors."""
    theirs, _ = made(tmp_path / "hf", "t2s")
    other, _ = made(tmp_path / "s2t", "s2t")
    for folder, model in ((tmp_path / "hf", theirs), (tmp_path / "s2t", other)):
        tensors = dict(model.state_dict())
        for name in [name for name in tensors if ".parametrizations.weight.original" in name]:
            stem, number = name.split(".parametrizations.weight.original")
            tensors[f"{stem}.weight_{'gv'[int(number)]}"] = tensors.pop(name)
        tensors["speecht5.decoder.prenet.encode_positions.pe"] = torch.ones(1, 9, 24)
        tensors["speecht5.encoder.prenet.pos_sinusoidal_embed.weights"] = torch.ones(9, 24)
        convert(folder, tmp_path / f"{folder.name}-new" / "m.pt", "fairseq")
        (folder / "model.safetensors").unlink()
        torch.save(tensors, folder / "pytorch_model.bin")
        convert(folder, tmp_path / f"{folder.name}-old" / "m.pt", "fairseq")
        new, old = (tensors_of(tmp_path / f"{folder.name}-{age}" / "m.pt") for age in ("new", "old"))
        assert new.keys() == old.keys() and all(torch.equal(new[name], old[name]) for name in new)


def test_shards_are_read(tmp_path):
    theirs, _ = made(tmp_path / "hf", "s2s")
    convert(tmp_path / "hf", tmp_path / "whole.pt", "fairseq")
    (tmp_path / "hf" / "model.safetensors").unlink()
    theirs.save_pretrained(tmp_path / "hf", max_shard_size="30KB")
    assert math.ceil(len(list((tmp_path / "hf").glob("model-*.safetensors")))) > 1
    convert(tmp_path / "hf", tmp_path / "shards.pt", "fairseq")
    one, other = tensors_of(tmp_path / "whole.pt"), tensors_of(tmp_path / "shards.pt")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_it_goes_on_to_the_published_layout(tmp_path):
    made(tmp_path / "hf", "s2t")
    convert(tmp_path / "hf", tmp_path / "released" / "asr.pt", "released")
    convert(tmp_path / "released" / "asr.pt", tmp_path / "again" / "asr.pt", "fairseq")
    convert(tmp_path / "hf", tmp_path / "out" / "asr.pt", "fairseq")
    one, other = tensors_of(tmp_path / "out" / "asr.pt"), tensors_of(tmp_path / "again" / "asr.pt")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"architectures": ["SpeechT5Model"]}, "architectures is .'SpeechT5Model'.*give --job s2t|t2s|s2s"),
        ({"model_type": "wav2vec2"}, "config.json: model_type is 'wav2vec2', not 'speecht5'"),
        ({"hidden_act": "relu"}, "hidden_act is relu, built is gelu: this code does not build such a model"),
        ({"decoder_ffn_dim": 8}, "decoder_ffn_dim is 8, encoder_ffn_dim 40"),
        ({"conv_dim": [8, 9]}, "conv_dim is .8, 9., built are 7 layers of one width"),
        ({"vocab_size": 9}, "text_decoder_postnet.lm_head.weight has shape .34, 24., not .9, 24."),
        ({"decoder_start_token_id": 0}, "decoder_start_token_id is 0, but </s> is 2; here a text is started by </s>"),
        ({"pad_token_id": 33}, "pad_token_id is 33, from which positions are counted there, and 1 here"),
        ({"encoder_layers": 3}, "tensors do not fit config.json: .*layers.2.attention.k_proj.weight is missing"),
        ({"encoder_layers": 1}, "tensors do not fit config.json: .*layers.1.attention.k_proj.weight is extra"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, settings, message):
    made(tmp_path / "hf", "s2t")
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    (tmp_path / "hf" / "config.json").write_text(json.dumps({**config, **settings}))
    with pytest.raises(CheckpointError, match=message):
        convert(tmp_path / "hf", tmp_path / "out" / "asr.pt", "fairseq")
    assert not (tmp_path / "out").exists()


def test_another_signal_is_refused(tmp_path):
    """Mels that are made otherwise would be voiced as ours."""
    made(tmp_path / "hf", "t2s")
    file = tmp_path / "hf" / "processor_config.json"
    config = json.loads(file.read_text())
    config["feature_extractor"] |= {"hop_length": 20, "fmax": 8000}
    file.write_text(json.dumps(config))
    with pytest.raises(
        CheckpointError, match="hop_length of the feature extractor is 20, here 16; fmax .* 8000, here 7600"
    ):
        convert(tmp_path / "hf", tmp_path / "out" / "voice.pt", "fairseq")
    made(tmp_path / "s2t", "s2t")
    (tmp_path / "s2t" / "processor_config.json").write_text(json.dumps(config))
    convert(tmp_path / "s2t", tmp_path / "out" / "asr.pt", "fairseq")  # which makes no mels
    config["feature_extractor"]["sampling_rate"] = 8000
    (tmp_path / "s2t" / "processor_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="sampling_rate of the feature extractor is 8000, here 16000"):
        convert(tmp_path / "s2t", tmp_path / "out2" / "asr.pt", "fairseq")


def test_a_model_without_its_tokenizer_is_refused(tmp_path):
    made(tmp_path / "hf", "t2s", processor=False)
    with pytest.raises(CheckpointError, match="no tokenizer .spm_char.model.*SpeechT5Processor.save_pretrained"):
        convert(tmp_path / "hf", tmp_path / "out" / "voice.pt", "fairseq")


def test_two_tables_where_ours_has_one_are_refused(tmp_path):
    made(tmp_path / "hf", "s2t")
    tensors = load_file(tmp_path / "hf" / "model.safetensors")
    tensors["text_decoder_postnet.lm_head.weight"] = tensors["speecht5.decoder.prenet.embed_tokens.weight"] + 1
    save_file(tensors, tmp_path / "hf" / "model.safetensors")
    with pytest.raises(
        CheckpointError, match="text_decoder_postnet.embedding.weight, text_decoder_prenet.* are one table"
    ):
        convert(tmp_path / "hf", tmp_path / "out" / "asr.pt", "fairseq")


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("conv_dim", None, "conv_dim is None, wanted is a list, in each place a whole number"),
        ("conv_dim", 12, "conv_dim is 12, wanted is a list"),
        ("conv_dim", [], "conv_dim is .*, built are 7 layers of one width"),
        ("conv_kernel", 3, "conv_kernel is 3, wanted is a list"),
        ("encoder_layers", "x", "encoder_layers is 'x', wanted is a whole number"),
        ("encoder_layers", True, "encoder_layers is True, wanted is a whole number"),
        ("vocab_size", "a", "vocab_size is 'a', wanted is a whole number"),
        ("architectures", 3, "architectures is 3, wanted is a list, in each place a text"),
        ("hidden_size", -1, "no model has the options in it"),
    ],
)
def test_settings_of_another_kind_are_named(tmp_path, name, value, said):
    made(tmp_path / "hf", "s2t")
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    (tmp_path / "hf" / "config.json").write_text(json.dumps({**config, name: value}))
    with pytest.raises(CheckpointError, match=f"^{tmp_path}/hf.*{said}"):
        convert(tmp_path / "hf", tmp_path / "out" / "asr.pt", "fairseq")


@pytest.mark.parametrize(
    "file, content, said",
    [
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": [1]},
            "added_tokens_decoder is .1., wanted is values",
        ),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "<a>"}}}, "no token, .*: x; save"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"3": {"text": "<a>"}}}, "no token, .*: 3; save"),
        ("tokenizer_config.json", {"mask_token": 7}, "no token, or not by its index: mask_token"),
        ("added_tokens.json", {"<a>": "7"}, "<a> is '7', wanted is a whole number"),
        ("processor_config.json", {"feature_extractor": 3}, "feature_extractor is 3, wanted is values by name"),
        ("model.safetensors.index.json", {"weight_map": 3}, "weight_map is 3, wanted is values by name"),
        ("model.safetensors.index.json", {"weight_map": {"a": 3}}, "a is 3, wanted is a text"),
    ],
)
def test_other_files_of_another_kind_are_named(tmp_path, file, content, said):
    made(tmp_path / "hf", "s2t")
    if file == "processor_config.json":
        (tmp_path / "hf" / "preprocessor_config.json").unlink(missing_ok=True)
    (tmp_path / "hf" / file).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=f"^{tmp_path}/hf/{file}: {said}"):
        convert(tmp_path / "hf", tmp_path / "out" / "asr.pt", "fairseq")
