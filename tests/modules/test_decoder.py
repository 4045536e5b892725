"""What the decoder sees and skips, and the attention it shows."""

import torch
from helpers import tiny_model

from speecht5_fairseq.modules.decoder import Watch

LENGTHS = (5, 8, 3)
PADDING = torch.arange(8) >= torch.tensor(LENGTHS)[:, None]


def decoder(**options):
    return tiny_model("s2t", **options).decoder.eval()


def memory():
    return torch.randn(3, 8, 24, generator=torch.Generator().manual_seed(4))


@torch.no_grad()
def test_no_position_sees_a_later_one_or_padding():
    body, states = decoder(), torch.randn(3, 6, 24)
    output = body(states, memory(), PADDING).states
    later, filled = states.clone(), memory().masked_fill(PADDING[:, :, None], 9.0)
    later[:, 4:] = 5.0
    torch.testing.assert_close(body(later, filled, PADDING).states[:, :4], output[:, :4])


@torch.no_grad()
def test_layerdrop_skips_layers_in_training_only():
    body, states = decoder(decoder_layerdrop=0.999), torch.randn(3, 6, 24)
    assert (body(states, memory(), PADDING).states - states).abs().max() > 0.1
    torch.testing.assert_close(body.train()(states, memory(), PADDING).states, states)


@torch.no_grad()
def test_watched_attention_is_that_of_the_last_layers():
    body, states = decoder(decoder_layers=3), torch.randn(3, 6, 24)
    plain = body(states, memory(), PADDING)
    assert plain.attention == ()
    found = body(states, memory(), PADDING, Watch(layers=2, heads=2))
    torch.testing.assert_close(found.states, plain.states)
    assert [weights.shape for weights in found.attention] == [(3, 2, 6, 8)] * 2
    everything = body(states, memory(), PADDING, body.everything)
    assert len(everything.attention) == 3 and everything.attention[0].size(1) == 3
    for some, whole in zip(found.attention, everything.attention[1:], strict=True):
        torch.testing.assert_close(some, whole[:, :2])
        torch.testing.assert_close(some.sum(-1), torch.ones(3, 2, 6))
        assert (some[0, :, :, 5:] == 0).all()


def test_a_skipped_layer_has_no_attention():
    body, states = decoder(decoder_layerdrop=0.999).train(), torch.randn(3, 6, 24)
    assert body(states, memory(), PADDING, body.everything).attention == ()
