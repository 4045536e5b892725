"""Enhancement with the source's phases."""

import pytest
import torch

from speecht5_fairseq.data.mel import log_mel
from speecht5_fairseq.generation.source_gain import source_gain
from speecht5_fairseq.generation.vocoder_checks import VocoderError


def tone(hertz, samples):
    return 0.2 * torch.sin(2 * torch.pi * hertz * torch.arange(samples) / 16_000)


@pytest.mark.parametrize("samples", [300, 1024, 16_000, 16_383])
def test_the_sources_own_mel_gives_the_source(samples):
    source = 0.1 * torch.randn(samples)
    torch.testing.assert_close(source_gain(log_mel(source), source), source, atol=1e-5, rtol=1e-4)


def test_a_quieter_mel_gives_a_quieter_source_and_a_louder_one_does_not_add():
    source = tone(440, 8000)
    torch.testing.assert_close(source_gain(log_mel(source) - 1, source), 0.1 * source, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(source_gain(log_mel(source) + 1, source), source, atol=1e-5, rtol=1e-4)


def test_the_clean_mel_takes_the_noise_away():
    """Two tones; the mel of one alone takes the other out by more than 20 dB and leaves the one."""
    clean, noise = tone(500, 16_000), tone(3000, 16_000)
    found = source_gain(log_mel(clean), clean + noise)
    inner = slice(1000, 15_000)  # the tones begin and end with a click
    left = (found - clean)[inner].square().mean() / noise[inner].square().mean()
    assert 10 * left.log10() < -20


def test_another_number_of_frames_is_refused():
    with pytest.raises(VocoderError, match="9 predicted frames for a source of 32; --vocoder source is for enh"):
        source_gain(torch.zeros(9, 80), torch.randn(8000))
