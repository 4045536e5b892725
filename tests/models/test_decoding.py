"""Decoding after a preparation: by copies of the weights, for as long as the weights stay what they were."""

import pytest
import torch
from helpers import tiny_model


def first_scores(model):
    waveform = torch.randn(1, 4000, generator=torch.Generator().manual_seed(1)).to(next(model.parameters()).dtype)
    encoded = model.encode(waveform=waveform, sample_lengths=torch.tensor([4000]))
    return model.next_token_log_probs(torch.tensor([2]), model.start_decoding(encoded))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_a_model_that_learns_on_decodes_by_its_new_weights(dtype):
    model = tiny_model("s2t").eval()
    before = first_scores(model)
    model.prepare_decoding(dtype)
    model.train()
    model.decoder.layers[0].self_attn.v_proj.weight.mul_(-1)
    after = first_scores(model.eval())
    assert model.decoder_steps is None and (after - before).abs().max() > 1e-3
    model.prepare_decoding()
    torch.testing.assert_close(first_scores(model), after)


@torch.no_grad()
def test_a_move_to_another_precision_takes_the_decoder_along():
    model = tiny_model("s2t").eval()
    exact = first_scores(tiny_model("s2t").eval().double())
    model.prepare_decoding()
    torch.testing.assert_close(first_scores(model.double()), exact, rtol=0, atol=1e-7)  # log-probabilities are float32
    assert model.decoder_steps is None


@torch.no_grad()
def test_evaluation_keeps_the_preparation():
    model = tiny_model("t2s").eval()
    model.prepare_decoding()
    assert model.eval().decoder_steps is not None and model.speech_steps is not None
