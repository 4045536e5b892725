"""A batch of speech is encoded by groups of like length on a CPU: the numbers are those of the utterances alone."""

import pytest
import torch
from helpers import tiny_model

from speecht5_fairseq.models import encoding
from speecht5_fairseq.models.encoding import GROUP_SAMPLES, encode_by_length, like_lengths

LENGTHS = [5000, 1200, 8000, 1210, 3000]


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    lengths = torch.tensor(LENGTHS)
    return {
        "waveform": torch.randn(len(LENGTHS), max(LENGTHS)),
        "sample_lengths": lengths,
        "seeds": torch.arange(7, 7 + len(LENGTHS)),
    }


@pytest.mark.parametrize(
    ("lengths", "groups"),
    [
        ([GROUP_SAMPLES * 3], [[0]]),
        ([GROUP_SAMPLES // 2, 10, GROUP_SAMPLES // 2], [[1, 0], [2]]),
        ([GROUP_SAMPLES, 1, GROUP_SAMPLES + 1], [[1], [0], [2]]),
        ([9, 9, 9], [[0, 1, 2]]),
    ],
)
def test_groups_are_of_like_length_and_no_larger_than_allowed(lengths, groups):
    assert like_lengths(lengths) == groups


@torch.no_grad()
@pytest.mark.parametrize("mask", [False, True])
def test_groups_give_what_the_padded_batch_gives(monkeypatch, mask):
    model = tiny_model("s2t", mask_prob=0.5).eval()
    whole = model.encode(**batch(), mask=mask)
    calls = []
    prenet = model.speech_encoder_prenet.forward
    monkeypatch.setattr(
        model.speech_encoder_prenet, "forward", lambda *a, **k: calls.append(len(a[0])) or prenet(*a, **k)
    )
    monkeypatch.setattr(encoding, "GROUP_SAMPLES", 6000)
    grouped = model.encode(**batch(), mask=mask)
    assert sorted(calls) == [1, 1, 1, 2]
    assert torch.equal(grouped.lengths, whole.lengths) and torch.equal(grouped.padding_mask, whole.padding_mask)
    torch.testing.assert_close(grouped.feature_penalty, whole.feature_penalty)
    assert (grouped.masked is None) == (not mask) and (not mask or bool(grouped.masked.any()))
    for row, frames in enumerate(whole.lengths.tolist()):
        torch.testing.assert_close(grouped.states[row, :frames], whole.states[row, :frames], rtol=0, atol=1e-5)
        if mask:
            assert torch.equal(grouped.masked[row, :frames], whole.masked[row, :frames])


def test_with_a_gradient_the_batch_stays_whole(monkeypatch):
    monkeypatch.setattr(encoding, "encode_by_length", lambda *_: pytest.fail("split"))
    model = tiny_model("s2t")
    assert model.eval().encode(**batch()).states.requires_grad
    with torch.no_grad():
        model.train().encode(**batch())


def test_one_group_is_handed_on_as_it_is():
    given = batch()
    found = encode_by_length(lambda *inputs: inputs, given["waveform"], given["sample_lengths"], given["seeds"])
    assert found[0] is given["waveform"]


@torch.no_grad()
@pytest.mark.parametrize("job", ["s2t", "t2s"])
def test_products_of_another_precision_give_states_of_the_models_own(job):
    model = tiny_model(job).eval()
    inputs = batch() if job == "s2t" else {"source_tokens": torch.tensor([[4, 9, 6, 2], [5, 2, 1, 1]])}
    exact = model.encode(**inputs)
    model.prepare_decoding(torch.bfloat16)
    near = model.encode(**inputs)
    assert near.states.dtype == torch.float32 and torch.equal(near.lengths, exact.lengths)
    for row, frames in enumerate(exact.lengths.tolist()):
        difference = (near.states[row, :frames] - exact.states[row, :frames]).abs().max()
        assert 0 < difference < 0.1
    model.prepare_decoding()
    assert torch.equal(model.encode(**inputs).states, exact.states)


@torch.no_grad()
def test_loading_weights_takes_the_precision_back():
    model = tiny_model("s2t").eval()
    exact = model.encode(**batch())
    model.prepare_decoding(torch.bfloat16)
    model.load_state_dict(tiny_model("s2t").state_dict())
    assert torch.equal(model.encode(**batch()).states, exact.states)
