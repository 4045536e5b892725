"""Layers of speech models: one HuBERT from three libraries, and our own checkpoints as their encoder gives them."""

import argparse

import numpy as np
import pytest
import torch
from checkpoints import Intruder, tiny_checkpoint
from helpers import LARGE_LAYOUT, speech_source, tiny_model
from hubert import LAYERS, fairseq_file, tiny_hubert, torchaudio_file, torchaudio_model, transformers_folder

from manifest_tools import speech_models
from manifest_tools.extractors import find_extractor, loaded, model_features
from manifest_tools.speech_models import TORCHAUDIO, load_fairseq_hubert
from speecht5_fairseq.data.pretrain_speech import encoder_frames
from speecht5_fairseq.models.errors import CheckpointError

SAMPLES = [400, 1040, 7321, 16000]


def waves():
    source = speech_source(*SAMPLES, seed=3)
    return [wave[:length].numpy() for wave, length in zip(source["waveform"], SAMPLES, strict=True)]


@pytest.mark.parametrize("large", [False, True], ids=["base", "large"])
def test_one_hubert_from_three_libraries(large, tmp_path, monkeypatch):
    model = tiny_hubert(large=large)
    monkeypatch.setitem(TORCHAUDIO, "HUBERT_TINY", torchaudio_model(model))
    places = {
        "transformers-hubert": transformers_folder(tmp_path / "hf", model, normalize=large),
        "fairseq-hubert": fairseq_file(tmp_path / "fairseq.pt", model),
        "torchaudio-hubert": f"HUBERT_TINY={torchaudio_file(tmp_path / 'torchaudio.pth', model)}",
    }
    for layer in range(LAYERS + 1):
        features = {kind: loaded(find_extractor(kind, checkpoint=at, layer=layer)) for kind, at in places.items()}
        for wave in waves():
            expected = features["transformers-hubert"](wave)
            assert expected.shape == (encoder_frames(len(wave)), 24) and expected.std() > 0.1
            for kind in ("fairseq-hubert", "torchaudio-hubert"):
                assert np.abs(features[kind](wave) - expected).max() < 1e-4, (kind, layer)


@pytest.mark.parametrize("large", [False, True], ids=["base", "large"])
def test_layers_are_counted_as_transformers_and_fairseq_count_them(large, tmp_path):
    model = tiny_hubert(large=large)
    file, wave = fairseq_file(tmp_path / "fairseq.pt", model), waves()[-1]
    folder = transformers_folder(tmp_path / "hf", model, normalize=False)
    theirs = model(torch.from_numpy(wave)[None], output_hidden_states=True).hidden_states
    assert len(theirs) == LAYERS + 1
    for layer in range(LAYERS if large else LAYERS + 1):  # the last of a pre-norm model is normalised there
        found = loaded(find_extractor("transformers-hubert", checkpoint=folder, layer=layer))(wave)
        assert np.abs(found - theirs[layer][0].detach().numpy()).max() < 1e-5
    whole = load_fairseq_hubert(str(file), LAYERS).net
    x = torch.from_numpy(wave)[None]
    x = torch.nn.functional.layer_norm(x, x.shape) if large else x
    for layer in range(1, LAYERS + 1):
        expected = whole.extract_features(x, output_layer=layer)[0][0].numpy()
        found = loaded(find_extractor("fairseq-hubert", checkpoint=file, layer=layer))(wave)
        assert np.abs(found - expected).max() < 1e-6


def test_what_a_model_was_trained_to_hear_is_what_it_hears(tmp_path):
    model, quiet = tiny_hubert(large=True), 0.01 * waves()[-1]
    x = torch.from_numpy(quiet)[None]
    normal = torch.nn.functional.layer_norm(x, x.shape, eps=1e-7)
    states = [model(heard, output_hidden_states=True).hidden_states[2][0].detach().numpy() for heard in (x, normal)]
    assert np.abs(states[0] - states[1]).max() > 0.01
    for normalize in (False, True, None):  # None: as fairseq trained models with LayerNorm in the extractor
        folder = transformers_folder(tmp_path / f"hf-{normalize}", model, normalize=normalize)
        found = loaded(find_extractor("transformers-hubert", checkpoint=folder, layer=2))(quiet)
        assert np.abs(found - states[normalize is not False]).max() < 1e-4
    normal = torch.nn.functional.layer_norm(x, x.shape)  # of fairseq, whose epsilon is another
    states[1] = model(normal, output_hidden_states=True).hidden_states[2][0].detach().numpy()
    state = torch.load(fairseq_file(tmp_path / "large.pt", model), weights_only=False)
    for normalize in (False, True):
        state["cfg"]["task"]["normalize"] = normalize
        torch.save(state, tmp_path / f"{normalize}.pt")
        found = loaded(find_extractor("fairseq-hubert", checkpoint=tmp_path / f"{normalize}.pt", layer=2))(quiet)
        assert np.abs(found - states[normalize]).max() < 1e-4


def test_torchaudio_s_models_are_as_it_describes_them():
    import torchaudio

    for name, published in TORCHAUDIO.items():
        bundle = getattr(torchaudio.pipelines, name)
        assert bundle._normalize_waveform == published.normalize
        assert published.build is getattr(torchaudio.models, name.lower())


@pytest.mark.parametrize("job", ["pretrain", "pretrain_speech", "s2t", "s2s", "s2c"])
def test_our_checkpoints_give_what_their_encoder_gives_alone_and_in_a_batch(job, tmp_path):
    file = tiny_checkpoint(tmp_path / "checkpoint.pt", job, seed=5)
    model = tiny_model(job, seed=5).eval()
    for layer in (0, 1, 2):
        features = loaded(find_extractor("speecht5", checkpoint=file, layer=layer))
        with torch.no_grad():
            batch = model.encode(**speech_source(*SAMPLES, seed=3, garbage=9.0), layer=layer)
        for row, wave in enumerate(waves()):
            found = features(wave)
            one = {"waveform": torch.from_numpy(wave)[None], "sample_lengths": torch.tensor([len(wave)])}
            alone = model.encode(**one, layer=layer)
            assert np.abs(found - alone.states[0].detach().numpy()).max() < 1e-6
            assert np.abs(found - batch.states[row, : len(found)].numpy()).max() < 1e-4
            assert len(found) == int(batch.lengths[row]) == encoder_frames(len(wave))


def test_our_large_layout_normalises_by_itself(tmp_path):
    file = tiny_checkpoint(tmp_path / "large.pt", "pretrain_speech", seed=5, **LARGE_LAYOUT)
    model = tiny_model("pretrain_speech", seed=5, **LARGE_LAYOUT).eval()
    wave = waves()[-1]
    found = loaded(find_extractor("speecht5", checkpoint=file, layer=2))(wave)
    expected = model.encode(waveform=torch.from_numpy(wave)[None], sample_lengths=torch.tensor([len(wave)]), layer=2)
    assert np.abs(found - expected.states[0].detach().numpy()).max() < 1e-5


def test_a_model_keeps_no_layer_that_it_does_not_need(tmp_path):
    file = tiny_checkpoint(tmp_path / "checkpoint.pt", "s2t")
    net = speech_models.load_speecht5(str(file), 1).net
    assert len(net.encoder.layers) == 1 and net.decoder is None
    hubert = fairseq_file(tmp_path / "hubert.pt", tiny_hubert(large=False))
    assert len(load_fairseq_hubert(str(hubert), 1).net.encoder.layers) == 1


@pytest.mark.parametrize("layer", [-1, LAYERS + 1])
def test_a_layer_that_there_is_not(layer, tmp_path, monkeypatch):
    model = tiny_hubert(large=False)
    monkeypatch.setitem(TORCHAUDIO, "HUBERT_TINY", torchaudio_model(model))
    places = {
        "transformers-hubert": transformers_folder(tmp_path / "hf", model),
        "fairseq-hubert": fairseq_file(tmp_path / "fairseq.pt", model),
        "torchaudio-hubert": f"HUBERT_TINY={torchaudio_file(tmp_path / 'torchaudio.pth', model)}",
        "speecht5": tiny_checkpoint(tmp_path / "ours.pt", "s2t"),
    }
    for kind, at in places.items():
        with pytest.raises(ValueError, match=rf"--layer {layer}: .* has [23] layers; give 1 to [23], or 0 for"):
            find_extractor(kind, checkpoint=at, layer=layer)


@pytest.mark.parametrize("command", [False, True])
def test_nothing_in_a_fairseq_file_is_run(command, tmp_path):
    intruder = Intruder(tmp_path / "intruded", command=command)
    file = fairseq_file(tmp_path / "hubert.pt", tiny_hubert(large=False), extra_state=intruder)
    with pytest.raises(CheckpointError, match="refused, and nothing in it was run"):
        find_extractor("fairseq-hubert", checkpoint=file, layer=1)
    assert not (tmp_path / "intruded").exists()


def test_nothing_in_its_options_is_run(tmp_path):
    file = fairseq_file(tmp_path / "hubert.pt", tiny_hubert(large=False))
    state = torch.load(file, weights_only=False)
    code = f"[__import__('pathlib').Path({str(tmp_path / 'intruded')!r}).touch()]"
    long = "[(12,10,5)]" + " * 100" * 9
    deep = "[(1,1,1)]" + "+[(1,1,1)]" * 3000
    nested = "(" * 5000 + ")" * 5000
    endless = "[(12, 1e999, 5)]"
    for text in (code, long, deep, nested, endless, "[(12,10,5)] * 10**9", "[(12,10,5)] + 3", "(12, 10", "[(1, 2)]"):
        state["cfg"]["model"]["conv_feature_layers"] = text
        torch.save(state, file)
        with pytest.raises(ValueError, match=r"hubert.pt: conv_feature_layers .* is no list of .channels, kernel"):
            find_extractor("fairseq-hubert", checkpoint=file, layer=1)
    assert not (tmp_path / "intruded").exists()


@pytest.mark.parametrize(
    ("part", "name", "value", "said"),
    [
        ("model", "encoder_layers", "x", "its options make no HuBERT .TypeError"),
        ("model", "activation_fn", "none", "its options make no HuBERT .RuntimeError"),
        ("model", "encoder_attention_heads", 5, "its options make no HuBERT .AssertionError"),
        ("model", None, [1], "holds no options"),
        ("task", None, "x", "holds no options"),
    ],
)
def test_options_that_are_none(part, name, value, said, tmp_path):
    file = fairseq_file(tmp_path / "hubert.pt", tiny_hubert(large=False))
    state = torch.load(file, weights_only=False)
    state["cfg"][part] = value if name is None else {**state["cfg"][part], name: value}
    torch.save(state, file)
    with pytest.raises(ValueError, match=f"hubert.pt: {said}.*; give"):
        find_extractor("fairseq-hubert", checkpoint=file, layer=1)


def test_a_file_of_before_holds_its_options_in_a_namespace(tmp_path):
    model, wave = tiny_hubert(large=False), waves()[-1]
    file = fairseq_file(tmp_path / "new.pt", model)
    state = torch.load(file, weights_only=False)
    options = {**state["cfg"]["model"], **state["cfg"]["task"], "arch": "hubert", "lr": [0.1]}
    del options["_name"]
    torch.save({**state, "cfg": None, "args": argparse.Namespace(**options)}, tmp_path / "old.pt")
    new, old = (
        loaded(find_extractor("fairseq-hubert", checkpoint=tmp_path / f"{age}.pt", layer=2))(wave)
        for age in ("new", "old")
    )
    assert np.array_equal(new, old)


def test_files_of_something_else(tmp_path, monkeypatch):
    model = tiny_hubert(large=False)
    state = torch.load(fairseq_file(tmp_path / "hubert.pt", model), weights_only=False)
    cfg = {**state["cfg"], "model": {**state["cfg"]["model"], "_name": "hubert_ctc"}}
    torch.save({**state, "cfg": cfg}, tmp_path / "ctc.pt")
    torch.save({**state, "model": {"x": torch.ones(1)}}, tmp_path / "weights.pt")
    torch.save([1], tmp_path / "list.pt")
    monkeypatch.setitem(TORCHAUDIO, "HUBERT_TINY", torchaudio_model(model))
    ours = tiny_checkpoint(tmp_path / "ours.pt", "s2t")
    voice = tiny_checkpoint(tmp_path / "voice.pt", "t2s")
    (tmp_path / "empty").mkdir()
    wrong = [
        ("fairseq-hubert", tmp_path / "ctc.pt", "holds the model hubert_ctc; give the checkpoint of HuBERT's pre-tr"),
        ("fairseq-hubert", ours, "holds the model speecht5; .*--extractor speecht5 for one of ours"),
        ("fairseq-hubert", tmp_path / "weights.pt", "its weights are not those of its model"),
        ("fairseq-hubert", tmp_path / "list.pt", "holds no model; give a checkpoint of fairseq's HuBERT"),
        ("fairseq-hubert", tmp_path / "absent.pt", "absent.pt: cannot be read .No such file.*correct the path"),
        ("speecht5", tmp_path / "hubert.pt", "asks for fairseq.data.dictionary.Dictionary|not a speecht5_fairseq"),
        ("speecht5", voice, "a model of t2s hears no speech"),
        ("transformers-hubert", tmp_path / "empty", "no HuBERT of transformers"),
        ("torchaudio-hubert", f"HUBERT_TINY={tmp_path / 'list.pt'}", "is no state dict; give the file that"),
        ("torchaudio-hubert", f"HUBERT_TINY={tmp_path / 'hubert.pt'}", "refused|is no state dict"),
    ]
    for kind, at, said in wrong:
        with pytest.raises(ValueError, match=said):
            find_extractor(kind, checkpoint=at, layer=1)


def test_a_folder_without_all_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = transformers_folder(tmp_path / "hf", tiny_hubert(large=False))
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layers.0.attention.q_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="lacks weights of HuBERT .encoder.layers.0.attention.q_proj.weight"):
        find_extractor("transformers-hubert", checkpoint=folder, layer=1)


def test_a_published_checkpoint_needs_no_dictionary(tmp_path):
    file = tiny_checkpoint(tmp_path / "ours.pt", "s2t", seed=5)
    state = torch.load(file)
    del state["model"]["vocabulary.symbols"]
    torch.save(state, tmp_path / "nameless.pt")
    wave = waves()[-1]
    expected, found = (
        loaded(find_extractor("speecht5", checkpoint=tmp_path / name, layer=2))(wave)
        for name in ("ours.pt", "nameless.pt")
    )
    assert np.array_equal(expected, found)


def test_long_audio_is_heard_in_pieces_with_no_frame_lost(tmp_path, monkeypatch):
    monkeypatch.setattr("manifest_tools.extractors.PIECE_FRAMES", 7)
    lengths = []

    def states(waveform):
        lengths.append(waveform.size(1))
        starts = torch.arange(encoder_frames(waveform.size(1))) * 320
        return waveform[0, starts][None, :, None]

    for samples in (400, 400 + 6 * 320, 400 + 7 * 320, 400 + 20 * 320 + 319):
        wave = np.arange(samples, dtype=np.float32)
        model = speech_models.SpeechModel(torch.nn.Identity(), states, None)
        assert model_features(wave, model=model)[:, 0].tolist() == list(range(0, 320 * encoder_frames(samples), 320))
    assert max(lengths) < 400 + 7 * 320
