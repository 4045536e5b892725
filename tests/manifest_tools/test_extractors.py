"""Naming features: options that belong together, checkpoints that are fetched, models that are loaded once."""

import pickle
import sys

import numpy as np
import pytest
import torch
import torchaudio
from checkpoints import tiny_checkpoint
from helpers import write_speech
from hubert import tiny_hubert, transformers_folder

from manifest_tools import extractors
from manifest_tools.extractors import Extractor, checked_features, find_extractor, fitted
from manifest_tools.speech_models import SpeechModel
from manifest_tools.unit_clusters import Fitting
from manifest_tools.units import Labelling, prepare_units
from speecht5_fairseq.data.manifest import write_manifest
from speecht5_fairseq.data.unit_record import file_hash, read_record


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "speecht5", "layer": 1}, "--extractor speecht5 needs --checkpoint"),
        ({"kind": "speecht5", "checkpoint": "x.pt"}, "--extractor speecht5 needs --layer, from 0"),
        ({"kind": "mfcc", "layer": 6}, "--layer 6: no effect with --extractor mfcc; leave it out, or give one of"),
        ({"kind": "a:b", "checkpoint": "x", "device": "cpu"}, "--checkpoint x, --device cpu: no effect with --extr"),
        ({"kind": "hubert"}, "--extractor hubert: no such features; give mfcc, speecht5, fairseq-hubert"),
        ({"kind": "absent_module:f"}, "--extractor 'absent_module:f': cannot import"),
        ({"kind": "torchaudio-hubert", "checkpoint": "BASE", "layer": 1}, "--checkpoint BASE: give one of HUBERT_BASE"),
        ({"kind": "torchaudio-hubert", "checkpoint": "HUBERT_BASE=/no/file", "layer": 1}, "cannot be read .No such"),
    ],
)
def test_options_that_do_not_belong_together(options, said):
    with pytest.raises(ValueError, match=said):
        find_extractor(**options)


def test_a_device_that_is_not_there(tmp_path):
    file = tiny_checkpoint(tmp_path / "x.pt", "s2t")
    with pytest.raises(ValueError, match="device 'cuda:99': not usable here"):
        find_extractor("speecht5", checkpoint=file, layer=1, device="cuda:99")


def test_a_name_that_cannot_be_had_offline(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="--checkpoint some/hubert: no such folder, and .* give its folder"):
        find_extractor("transformers-hubert", checkpoint="some/hubert", layer=1)
    with pytest.raises(OSError, match="--checkpoint ../a b: no such folder"):
        find_extractor("transformers-hubert", checkpoint="../a b", layer=1)


def test_torchaudio_s_file_is_used_where_it_is_and_its_address_told_where_not(tmp_path, monkeypatch):
    def unreachable(self, *, dl_kwargs):
        assert dl_kwargs == {"weights_only": True}
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(type(torchaudio.pipelines.HUBERT_BASE), "get_model", unreachable)
    said = "HUBERT_BASE: cannot be fetched .no network.; fetch https://.*/(.*) where there is a .* give HUBERT_BASE="
    with pytest.raises(OSError, match=said):
        find_extractor("torchaudio-hubert", checkpoint="HUBERT_BASE", layer=1)
    file = tmp_path / "checkpoints" / torchaudio.pipelines.HUBERT_BASE._path
    file.parent.mkdir()
    file.touch()
    assert extractors.found_checkpoint("torchaudio-hubert", "HUBERT_BASE") == f"HUBERT_BASE={file}"


def test_the_hash_is_that_of_the_weights(tmp_path):
    one, two, again = (tiny_checkpoint(tmp_path / f"{n}.pt", "s2t", seed=n % 2) for n in range(3))
    hashes = [find_extractor("speecht5", checkpoint=file, layer=1).hash for file in (one, two)]
    assert hashes[0] != hashes[1] and len(hashes[0]) == 16
    moved = (tmp_path / "moved.pt").absolute()
    moved.write_bytes(one.read_bytes())
    assert find_extractor("speecht5", checkpoint=moved, layer=1).hash == hashes[0]
    folders = [transformers_folder(tmp_path / f"hf{n}", tiny_hubert(large=False, seed=n // 2)) for n in range(3)]
    found = [find_extractor("transformers-hubert", checkpoint=folder, layer=1).hash for folder in folders]
    assert found[0] == found[1] != found[2]
    (folders[1] / "README.md").write_text("more\n")
    assert find_extractor("transformers-hubert", checkpoint=folders[1], layer=1).hash == found[0]
    transformers_folder(folders[1], tiny_hubert(large=False), normalize=True)
    assert find_extractor("transformers-hubert", checkpoint=folders[1], layer=1).hash != found[0]


def test_a_frame_more_or_fewer_is_mended():
    features = np.arange(8.0).reshape(4, 2)
    assert fitted(features, 4) is not None and np.array_equal(fitted(features, 4), features)
    assert fitted(features, 3).tolist() == features[:3].tolist()
    assert fitted(features, 5).tolist() == [*features.tolist(), [6.0, 7.0]]
    assert fitted(features, 2).tolist() == features[:2].tolist()
    assert fitted(features, 1) is fitted(features, 6) is fitted(features[0], 2) is fitted(features[:0], 1) is None


def centred(wave):
    return np.zeros((1 + len(wave) // 320, 3))


def test_a_user_s_centred_frames_fit(monkeypatch):
    monkeypatch.setitem(sys.modules, "my_features", sys.modules[__name__])
    for samples in (400, 640, 1000, 16000):
        found = checked_features(np.zeros(samples, np.float32), Extractor("my_features:centred"), "a.tsv:2")
        assert found.shape == ((samples - 400) // 320 + 1, 3)


def undefined(wave):
    return np.full((len(wave) // 320, 3), np.inf)


def test_what_is_no_number_makes_no_unit(monkeypatch):
    monkeypatch.setitem(sys.modules, "my_features", sys.modules[__name__])
    wave = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="^a.tsv:2: the audio holds NaN or infinity; convert the file again, or d"):
            checked_features(np.append(wave, np.float32([bad] * 400)), Extractor(), "a.tsv:2")
    with pytest.raises(ValueError, match="^a.tsv:2: extractor my_features:undefined gave NaN or infinity; convert"):
        checked_features(wave, Extractor("my_features:undefined"), "a.tsv:2")


def test_a_user_s_function_that_changes_makes_other_units(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    write_manifest(tmp_path / "train.tsv", "train", write_speech(tmp_path / "train", 3))
    code = "import numpy\n\ndef ramp(wave):\n    return numpy.arange(1 + len(wave) // 320)[:, None] % {}.0\n"
    file = tmp_path / "own_ramp.py"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    labels = []
    for period in (5, 7, 7):
        file.write_text(code.format(period))
        sys.modules.pop("own_ramp", None)
        caplog.clear()
        prepare_units(tmp_path, ("train",), fitting=Fitting(clusters=4), extractor="own_ramp:ramp")
        labels.append((tmp_path / "train.km").read_text())
    assert labels[0] != labels[1] == labels[2] and "train.km is up to date" in caplog.text
    assert read_record(tmp_path).features == f"own_ramp:ramp, source {file_hash(file)}"
    file.write_text(code.format(5))
    model = tmp_path / "kmeans.joblib"
    with pytest.raises(ValueError, match=r"kmeans.joblib was fitted on own_ramp:ramp, source \w+, and the extr"):
        prepare_units(tmp_path, ("train",), model=model, extractor="own_ramp:ramp", out=tmp_path / "other")
    sys.modules.pop("own_ramp")


def test_a_model_is_loaded_once_and_travels_by_name(tmp_path, monkeypatch):
    write_manifest(tmp_path / "train.tsv", "train", write_speech(tmp_path / "train", 6))
    loads = []

    def load(checkpoint, layer):
        loads.append((checkpoint, layer))
        frames = torch.nn.Unfold((1, 400), stride=(1, 320))
        return SpeechModel(frames, lambda wave: frames(wave[:, None, None]).transpose(1, 2)[:, :, :5], None)

    monkeypatch.setitem(extractors.LOADERS, "speecht5", load)
    (tmp_path / "model.pt").write_bytes(bytes(1_000_000))
    options = {"extractor": "speecht5", "checkpoint": tmp_path / "model.pt", "layer": 2}
    prepare_units(tmp_path, ("train",), fitting=Fitting(clusters=4), **options)
    assert loads == [(str(tmp_path / "model.pt"), 2)]
    extractor = find_extractor("speecht5", checkpoint=tmp_path / "model.pt", layer=2)
    assert len(pickle.dumps(Labelling.of(tmp_path, extractor))) < 1000
