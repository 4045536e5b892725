"""The speaker head: pooling without padding, the embedding, and scores with and without cosines."""

import math

import pytest
import torch
from torch.nn import functional as F

from speecht5_fairseq.modules.speaker_head import AttentiveStatistics, MeanPooling, SpeakerHead, UtteranceNorm

DIM, CLASSES = 6, 5
LENGTHS = torch.tensor([4, 7, 1])


def states(garbage=0.0, seed=0):
    values = torch.randn(3, 7, DIM, generator=torch.Generator().manual_seed(seed))
    for row, length in zip(values, LENGTHS.tolist(), strict=True):
        row[length:] = garbage
    return values


def head(**options):
    sizes = {"dim": DIM, "classes": CLASSES, "attentive": False, "attention_dim": 4, "embedding_dim": 0}
    torch.manual_seed(0)
    return SpeakerHead(**{**sizes, "loss": "softmax", "margin": 0.2, "scale": 9.0, **options})


def test_the_mean_is_that_of_the_valid_frames():
    found = MeanPooling(DIM)(states(garbage=math.nan), LENGTHS)
    expected = torch.stack([row[:length].mean(0) for row, length in zip(states(), LENGTHS.tolist(), strict=True)])
    torch.testing.assert_close(found, expected)


def test_attentive_statistics_are_weighted_mean_and_deviation():
    """Written out for one utterance, in float64."""
    pooling = AttentiveStatistics(DIM, 4).double()
    frames = states()[1].double()
    scores = pooling.score(torch.tanh(frames @ pooling.hidden.weight.T + pooling.hidden.bias))[:, 0]
    weights = scores.exp() / scores.exp().sum()
    mean = sum(w * frame for w, frame in zip(weights, frames, strict=True))
    square = sum(w * frame**2 for w, frame in zip(weights, frames, strict=True))
    found = pooling(frames[None], torch.tensor([7]))
    torch.testing.assert_close(found[0], torch.cat([mean, (square - mean**2).sqrt()]))


@pytest.mark.parametrize("pooling", [MeanPooling(DIM), AttentiveStatistics(DIM, 4)], ids=["mean", "attentive"])
@pytest.mark.parametrize("garbage", [0.0, 1e4, math.nan])
def test_padding_is_in_no_pooled_vector(pooling, garbage):
    batch = pooling(states(garbage), LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = pooling(states()[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(batch[row : row + 1], alone, atol=1e-6, rtol=0)


def test_one_frame_has_finite_gradients():
    """Its deviation is 0, where the root's gradient would be infinite."""
    pooling, frames = AttentiveStatistics(DIM, 4), states()[:1, :1].requires_grad_()
    pooling(frames, torch.tensor([1])).sum().backward()
    assert frames.grad.isfinite().all()


def test_scores_are_products_or_scaled_cosines():
    values = states()
    plain, cosine = head()(values, LENGTHS), head(loss="aam")(values, LENGTHS)
    weight = head().projection.weight
    torch.testing.assert_close(plain.logits, plain.embedding @ weight.T)
    expected = F.cosine_similarity(cosine.embedding[:, None], weight[None], dim=-1)
    torch.testing.assert_close(cosine.logits, 9.0 * expected)
    assert cosine.logits.abs().max() <= 9.0 and plain.logits.shape == (3, CLASSES)
    assert list(head().state_dict()) == ["projection.weight"]  # as the published head: no bias


def test_the_embedding_is_narrowed_between_two_norms():
    module = head(embedding_dim=3, attentive=True).eval()
    found = module(states(), LENGTHS)
    before, linear, after = module.embedding
    pooled = module.pooling(states(), LENGTHS)
    torch.testing.assert_close(found.embedding, after(linear(before(pooled))))
    assert found.embedding.shape == (3, 3) and linear.in_features == 2 * DIM


def test_a_training_batch_of_one_utterance():
    """BatchNorm itself refuses it; the last batch of an epoch may be one."""
    norm = UtteranceNorm(4)
    norm(torch.randn(8, 4))
    before = norm.running_mean.clone()
    vector = torch.randn(1, 4)
    found = norm.train()(vector)
    torch.testing.assert_close(found, norm.eval()(vector))
    assert torch.equal(norm.running_mean, before)


@pytest.mark.parametrize("loss", ["softmax", "am"])
def test_scores_are_float32_in_half_precision_too(loss):
    module = head(loss=loss, embedding_dim=3, attentive=True).bfloat16().eval()
    found = module(states().bfloat16(), LENGTHS)
    assert found.logits.dtype == torch.float32 and found.embedding.dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head(loss=loss, embedding_dim=3, attentive=True).eval()(states(), LENGTHS).logits.dtype == torch.float32
