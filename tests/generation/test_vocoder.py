"""Which vocoder a name stands for, checkpoints in both layouts, and what is refused.

The generator of the original layout is written here again, as ParallelWaveGAN names its parts.
"""

import json
import re
import sys

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from speecht5_fairseq.generation.griffin_lim import GriffinLim
from speecht5_fairseq.generation.hifigan_checkpoint import without_weight_norm
from speecht5_fairseq.generation.vocoder import HifiganVocoder, Vocoder, VocoderError, load_vocoder

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")  # the original's way is the older one
RATES, KERNELS, DILATIONS = (8, 4, 8), (3, 5), ((1, 3, 5), (2,))
PUBLIC = {"sampling_rate": 16000, "fft_size": 1024, "hop_size": 256, "win_length": None, "window": "hann"}
PUBLIC |= {"num_mels": 80, "fmin": 80, "fmax": 7600}


class OriginalBlock(nn.Module):
    def __init__(self, channels, kernel, dilations):
        super().__init__()
        self.convs1, self.convs2 = nn.ModuleList(), nn.ModuleList()
        for dilation in dilations:
            for convs, spread in ((self.convs1, dilation), (self.convs2, 1)):
                conv = nn.Conv1d(channels, channels, kernel, dilation=spread, padding=(kernel - 1) // 2 * spread)
                convs.append(nn.Sequential(nn.LeakyReLU(0.1), nn.utils.weight_norm(conv)))

    def forward(self, x):
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = second(first(x)) + x
        return x


class Original(nn.Module):
    def __init__(self, channels=32):
        super().__init__()
        self.input_conv = nn.utils.weight_norm(nn.Conv1d(80, channels, 7, padding=3))
        self.upsamples, self.blocks = nn.ModuleList(), nn.ModuleList()
        for rate in RATES:
            up = nn.ConvTranspose1d(channels, channels // 2, 2 * rate, rate, padding=rate // 2)
            self.upsamples.append(nn.Sequential(nn.LeakyReLU(0.1), nn.utils.weight_norm(up)))
            channels //= 2
            self.blocks.extend(OriginalBlock(channels, k, d) for k, d in zip(KERNELS, DILATIONS, strict=True))
        last = nn.utils.weight_norm(nn.Conv1d(channels, 1, 7, padding=3))
        self.output_conv = nn.Sequential(nn.LeakyReLU(), last, nn.Tanh())

    def forward(self, mel):
        x = self.input_conv(mel.T[None])
        for number, up in enumerate(self.upsamples):
            x = up(x)
            x = (self.blocks[2 * number](x) + self.blocks[2 * number + 1](x)) / 2
        return self.output_conv(x)[0, 0]


@pytest.fixture
def mel():
    return torch.randn(11, 80) - 2


@pytest.fixture
def original(tmp_path):
    """A folder in the original layout, and its network."""
    net = Original()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.mul_(3.0 if name.endswith("_g") else 1.0)
    folder = tmp_path / "original"
    folder.mkdir()
    # what ParallelWaveGAN's trainer saves besides; a MultiStepLR keeps a Counter
    schedule = torch.optim.lr_scheduler.MultiStepLR(torch.optim.Adam(net.parameters()), [2, 3]).state_dict()
    checkpoint = {"model": {"generator": net.state_dict(), "discriminator": {}}, "scheduler": schedule, "steps": 7}
    torch.save(checkpoint, folder / "checkpoint-7steps.pkl")
    np.save(folder / "stats.npy", np.stack([np.linspace(-3, -1, 80), np.linspace(0.5, 1.5, 80)]))
    params = {"channels": 32, "upsample_scales": list(RATES), "upsample_kernel_sizes": [2 * rate for rate in RATES]}
    params |= {"resblock_kernel_sizes": list(KERNELS), "resblock_dilations": [list(d) for d in DILATIONS]}
    params |= {"in_channels": 80, "kernel_size": 7, "nonlinear_activation_params": {"negative_slope": 0.1}}
    write_yaml(folder, PUBLIC | {"generator_type": "HiFiGANGenerator", "generator_params": params})
    return folder, net.eval()


@pytest.fixture
def huggingface(tmp_path):
    """A folder that `transformers` wrote, and its network."""
    dilations = [list(d) for d in DILATIONS]
    sizes = {"upsample_rates": list(RATES), "upsample_kernel_sizes": [2 * rate for rate in RATES]}
    config = SpeechT5HifiGanConfig(
        upsample_initial_channel=32, resblock_kernel_sizes=list(KERNELS), resblock_dilation_sizes=dilations, **sizes
    )
    net = SpeechT5HifiGan(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.1)
        net.mean.normal_(-2)
        net.scale.uniform_(0.5, 1.5)
    net.save_pretrained(tmp_path / "huggingface")
    return tmp_path / "huggingface", net


def write_yaml(folder, config):
    (folder / "config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")


def change_json(folder, **changes):
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


def change_yaml(folder, params=None, **changes):
    config = yaml.safe_load((folder / "config.yml").read_text()) | changes
    config["generator_params"] |= params or {}
    write_yaml(folder, config)


@pytest.mark.parametrize(("spec", "iterations"), [(None, 60), ("griffin-lim", 60), ("griffin-lim:7", 7)])
def test_griffin_lim_is_the_default(spec, iterations):
    vocoder = load_vocoder(spec, "cpu")
    assert isinstance(vocoder, GriffinLim) and vocoder.iterations == iterations
    assert isinstance(vocoder, Vocoder)


@torch.no_grad()
def test_a_folder_of_transformers(huggingface, mel):
    folder, theirs = huggingface
    expected = theirs(mel)
    vocoder = load_vocoder(str(folder), "cpu")
    assert isinstance(vocoder, HifiganVocoder) and isinstance(vocoder, Vocoder)
    wave = vocoder(mel)
    assert wave.dtype == torch.float32 and wave.shape == (11 * 256,) and not wave.requires_grad
    assert (wave - expected).abs().max() < 1e-6 and expected.abs().max() > 0.01
    assert torch.equal(load_vocoder(str(folder / "model.safetensors"))(mel), wave)
    assert torch.equal(vocoder(mel), wave)


@torch.no_grad()
@pytest.mark.parametrize("normed", [False, True])
def test_a_pickled_file_of_transformers(huggingface, mel, normed):
    """As the public vocoder comes: pytorch_model.bin; with the weights split too, as a run of theirs saves them."""
    folder, theirs = huggingface
    expected = theirs(mel)
    if normed:
        theirs.apply_weight_norm()
    (folder / "model.safetensors").unlink()
    torch.save(theirs.state_dict(), folder / "pytorch_model.bin")
    assert (load_vocoder(str(folder))(mel) - expected).abs().max() < 1e-6


@torch.no_grad()
def test_the_original_layout(original, mel):
    folder, theirs = original
    mean, scale = torch.from_numpy(np.load(folder / "stats.npy")).float()
    expected = theirs((mel - mean) / scale)
    assert expected.abs().max() > 0.01
    for path in (folder, folder / "checkpoint-7steps.pkl"):
        assert (load_vocoder(str(path))(mel) - expected).abs().max() < 1e-6


def test_weight_norm_in_both_spellings_is_folded():
    conv = nn.ConvTranspose1d(3, 4, 5)
    weight = conv.weight.detach().clone()
    nn.utils.parametrizations.weight_norm(conv)
    state = conv.state_dict()
    older = {"weight_g": "original0", "weight_v": "original1"}
    older = {f"up.{name}": 2 * state[f"parametrizations.weight.{new}"] for name, new in older.items()}
    for tensors, factor in (({f"up.{name}": tensor for name, tensor in state.items()}, 1), (older, 2)):
        folded = without_weight_norm(tensors)
        assert torch.allclose(folded.pop("up.weight"), factor * weight, atol=1e-6)
        assert set(folded) <= {"up.bias"}


def test_every_tensor_that_does_not_fit_is_listed(huggingface):
    folder, _ = huggingface
    tensors = load_file(folder / "model.safetensors")
    tensors["conv_last.bias"] = tensors.pop("conv_post.bias")
    tensors["scale"] = torch.ones(40)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(VocoderError, match="model.safetensors: 3 tensors") as error:
        load_vocoder(str(folder))
    for part in ("conv_post.bias is missing", "conv_last.bias is extra", r"scale has shape \(40,\), .* \(80,\)"):
        assert re.search(part, str(error.value))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampling_rate": 22050}, "other mels: sampling_rate is 22050, needed is 16000"),
        ({"model_in_dim": 100, "fmin": 0, "fmax": None}, "model_in_dim is 100, .*; fmin is 0, .*; fmax is 8000.0"),
        ({"upsample_rates": [4, 4, 8], "upsample_kernel_sizes": [8, 8, 16]}, "multiply to 128, not to the hop 256"),
        ({"upsample_rates": "8"}, "config.json: no generator of these sizes"),
        ({"model_type": "speecht5"}, "model_type is 'speecht5'.*folder of the vocoder"),
        ({"upsample_initial_channel": 64}, "conv_pre.weight has shape .32, 80, 7., the configuration says .64, 80, 7."),
    ],
)
def test_other_settings_of_a_transformers_folder(huggingface, change, message):
    folder, _ = huggingface
    change_json(folder, **change)
    with pytest.raises(VocoderError, match=message):
        load_vocoder(str(folder))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampling_rate": 24000, "hop_size": 300}, "sampling_rate is 24000, .*; hop_size is 300, needed is 256"),
        ({"win_length": 800}, "win_length is 800, needed is 1024"),
        ({"log_base": None}, "log_base is e, needed is 10"),
        ({"generator_type": "MelGANGenerator"}, "generator_type is 'MelGANGenerator'"),
        ({"params": {"use_additional_convs": False}}, r"use_additional_convs False \(needed True\)"),
    ],
)
def test_other_settings_of_an_original_folder(original, change, message):
    folder, _ = original
    change_yaml(folder, **change)
    with pytest.raises(VocoderError, match=message):
        load_vocoder(str(folder))


def test_files_that_are_missing_or_broken_are_named(original, huggingface, tmp_path):
    folder = original[0]
    checkpoint = folder / "checkpoint-7steps.pkl"
    torch.save(torch.load(checkpoint), folder / "checkpoint-9steps.pkl")
    fails(folder, "several checkpoints .checkpoint-7steps.pkl, checkpoint-9steps.pkl.; name one")
    (folder / "stats.npy").unlink()
    fails(checkpoint, "stats.npy: no mean and scale.*put the stats.npy of the vocoder beside")
    torch.save({"model": 1}, checkpoint)
    fails(checkpoint, 'no {"model": {"generator": ...}} in it')
    checkpoint.write_bytes(b"\x80\x02cposix\nsystem\n(S'true'\ntR.")
    fails(checkpoint, "not readable as a checkpoint of plain tensors")
    (folder / "config.yml").write_text("- 1")
    fails(checkpoint, "config.yml: holds a list")
    (folder / "config.yml").unlink()
    fails(checkpoint, "config.yml: no readable configuration")
    (huggingface[0] / "model.safetensors").unlink()
    fails(huggingface[0], "no HiFi-GAN in this folder; it has to hold config.json with model.safetensors or")
    (tmp_path / "empty").mkdir()
    fails(tmp_path / "empty", "no HiFi-GAN in this folder")


def fails(path, message):
    with pytest.raises(VocoderError, match=message):
        load_vocoder(str(path))


def test_without_safetensors_pip_is_named(huggingface, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    fails(huggingface[0], "needs safetensors; `pip install safetensors`")


PLUGIN = """
import torch

class Silence:
    def __init__(self, device):
        self.device = device
    def __call__(self, mel):
        return torch.zeros(256 * len(mel), device=self.device)
    def to(self, device):
        self.device = device
        return self

def broken(device):
    return 7
"""


def test_a_plug_in(tmp_path, monkeypatch, mel):
    (tmp_path / "my_vocoders.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    vocoder = load_vocoder("my_vocoders:Silence", "cpu")
    assert vocoder.device == torch.device("cpu") and vocoder(mel).shape == (11 * 256,)
    fails("my_vocoders:broken", "my_vocoders:broken' returned a int, which lacks __call__ or to")
    fails("my_vocoders:loud", "'my_vocoders' has no function 'loud'; or choose")
    fails("no_such_module:make", "cannot import 'no_such_module' .*PYTHONPATH; or choose")


@pytest.mark.parametrize("spec", ["griffinlim", "no/such/folder", ""])
def test_other_names_are_refused_with_the_choices(spec):
    fails(spec, "no vocoder '.*'.*griffin-lim:ITERATIONS.*MODULE:FUNCTION.*hf download")


@pytest.mark.parametrize("count", ["0", "-3", "many", ""])
def test_griffin_lim_wants_a_number_of_iterations(count):
    fails(f"griffin-lim:{count}", f"griffin-lim:{count}': '{count}' is no number of iterations")


@pytest.mark.parametrize("bad", [torch.zeros(1, 11, 80), torch.zeros(11, 40), torch.full((11, 80), torch.inf)])
def test_hifigan_refuses_other_mels(huggingface, bad):
    with pytest.raises(VocoderError, match="mel"):
        load_vocoder(str(huggingface[0]))(bad)
