"""The HiFi-GAN generator against the one of `transformers`, with random weights."""

import pytest
import torch
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from speecht5_fairseq.generation.hifigan_checkpoint import (
    HUGGINGFACE_SIZES,
    HUGGINGFACE_TABLE,
    translated_name,
    without_weight_norm,
)
from speecht5_fairseq.modules.hifigan import HifiganGenerator, HifiganSizes, add_weight_norm

# no two sizes alike, so that a mixed-up one shows
TINY = HifiganSizes(32, (8, 4, 8), (16, 8, 20), (3, 5), ((1, 3, 5), (2,)), slope=0.2)
CASES = {"tiny": TINY, "as it comes": TINY._replace(normalize=False), "public": HifiganSizes()}


def randomised(generator: torch.nn.Module) -> torch.nn.Module:
    """Random weights that keep the waveform away from 0 and from tanh's ends, and random statistics."""
    with torch.no_grad():
        for parameter in generator.parameters():
            fan = parameter[0].numel() if parameter.dim() > 1 else 100
            parameter.normal_(std=fan**-0.5)
        generator.mean.normal_(mean=-2.0)
        generator.scale.uniform_(0.5, 1.5)
    return generator.eval()


def pair(sizes: HifiganSizes) -> tuple[HifiganGenerator, SpeechT5HifiGan]:
    config = {theirs: getattr(sizes, ours) for ours, theirs in HUGGINGFACE_SIZES.items()}
    theirs = randomised(SpeechT5HifiGan(SpeechT5HifiGanConfig(**config)))
    ours = HifiganGenerator(sizes=sizes).eval()
    state = theirs.state_dict()
    ours.load_state_dict({name: state[translated_name(name, HUGGINGFACE_TABLE)] for name in ours.state_dict()})
    return ours, theirs


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_the_waveform_is_theirs(case):
    ours, theirs = pair(CASES[case])
    for frames in (1, 2, 7, 40):
        mel = torch.randn(frames, 80) - 2
        wave, expected = ours(mel[None])[0], theirs(mel)
        assert wave.shape == expected.shape == (frames * 256,)
        assert 0.01 < expected.abs().max() < 1
        assert (wave - expected).abs().max() < 1e-5


@torch.no_grad()
def test_weight_norm_is_added_and_folded_without_a_change():
    generator = randomised(HifiganGenerator(sizes=TINY))
    mel = torch.randn(2, 9, 80)
    plain = generator(mel)
    add_weight_norm(generator)
    assert "input_conv.parametrizations.weight.original0" in generator.state_dict()
    assert torch.allclose(generator(mel), plain, atol=1e-6)
    folded = HifiganGenerator(sizes=TINY)
    folded.load_state_dict(without_weight_norm(generator.state_dict()))
    assert torch.allclose(folded(mel), plain, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"upsample_rates": (8, 4, 4)}, r"upsample_rates \(8, 4, 4\) multiply to 128, not to the hop 256"),
        ({"upsample_kernels": (16, 8)}, r"upsample_kernels \(16, 8\) and upsample_rates .* differ in length"),
        ({"block_dilations": ((1,),)}, "block_dilations .* and block_kernels .* differ in length"),
        ({"upsample_kernels": (16, 8, 15)}, "15 is not its rate 8 plus an even number"),
        ({"upsample_kernels": (16, 8, 6)}, "6 is not its rate 8 plus an even number"),
        ({"block_kernels": (3, 4)}, r"block_kernels \(3, 4\) must be odd"),
        ({"channels": 36}, "channels 36 cannot be halved 3 times"),
    ],
)
def test_sizes_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        HifiganGenerator(sizes=TINY._replace(**change))
