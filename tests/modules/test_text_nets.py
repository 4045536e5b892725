"""The pre-nets and the post-net of text."""

import torch
from helpers import text_tokens, tiny_dictionary
from torch import nn

from speecht5_fairseq.modules.positions import halved_sinusoid, interleaved_sinusoid
from speecht5_fairseq.modules.text_decoder_postnet import TextDecoderPostnet
from speecht5_fairseq.modules.text_decoder_prenet import TextDecoderPrenet
from speecht5_fairseq.modules.text_encoder_prenet import TextEncoderPrenet


def embedding():
    dictionary = tiny_dictionary()
    return nn.Embedding(len(dictionary), 8, padding_idx=dictionary.pad())


def test_encoder_side_numbers_from_zero_and_finds_padding():
    table, tokens = embedding(), text_tokens(4, 2)
    output = TextEncoderPrenet(embedding=table, dropout=0.0)(tokens)
    torch.testing.assert_close(output.states, table(tokens) + interleaved_sinusoid(torch.arange(4), 8))
    assert output.lengths.tolist() == [4, 2]
    assert output.padding_mask.tolist() == [[False] * 4, [False, False, True, True]]
    assert TextEncoderPrenet(embedding=table, dropout=0.0)(tokens[:1]).padding_mask is None


def test_decoder_side_goes_on_at_an_offset():
    table, tokens = embedding(), text_tokens(5)
    prenet = TextDecoderPrenet(embedding=table, dropout=0.0)
    whole = prenet(tokens)
    torch.testing.assert_close(whole, table(tokens) + halved_sinusoid(torch.arange(2, 7), 8))
    torch.testing.assert_close(prenet(tokens[:, 3:], offset=3), whole[:, 3:])


def test_postnet_is_the_embedding_itself():
    table, states = embedding(), torch.randn(2, 3, 8)
    postnet = TextDecoderPostnet(embedding=table)
    torch.testing.assert_close(postnet(states), states @ table.weight.T)
    assert [name for name, _ in postnet.named_parameters()] == ["embedding.weight"]
