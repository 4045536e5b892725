"""The criterion of identification: its sum, its accuracy, and where the margin counts."""

import pytest
import torch
from fairseq.logging import metrics
from helpers import CLASSES, alone, speech_source, tiny_model

from speecht5_fairseq.criterions.s2c import S2CCriterion
from speecht5_fairseq.losses.speaker import class_loss

POOLINGS = ("decoder", "mean", "attentive")
AAM = {"speaker_loss": "aam", "speaker_margin": 0.3, "speaker_scale": 10.0, "mask_prob": 0.0}


def criterion():
    return S2CCriterion(None)


def sample():
    batch = {"id": torch.arange(3), "nsentences": 3, "ntokens": 3, "classes": torch.tensor([3, 0, 4])}
    return batch | {"net_input": speech_source(4000, 9117, 6000)}


def reduced(outputs):
    with metrics.aggregate() as found:
        S2CCriterion.reduce_metrics(outputs)
    return found.get_smoothed_values()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_loss_is_the_sum_over_the_utterances(pooling):
    model, batch = tiny_model("s2c", speaker_pooling=pooling).eval(), sample()
    loss, size, logging = criterion()(model, batch)
    logits = model(**batch["net_input"]).speaker.logits
    assert logits.shape == (3, len(CLASSES)) and size == 3
    expected = torch.nn.functional.cross_entropy(logits, batch["classes"], reduction="sum")
    torch.testing.assert_close(loss, expected)
    values = reduced([logging])
    assert values["loss"] == pytest.approx(expected.item() / 3 / 0.6931, abs=2e-3)
    right = (logits.argmax(1) == batch["classes"]).sum().item()
    assert values["accuracy"] == pytest.approx(100 * right / 3, abs=1e-2)


def test_the_margin_counts_in_training_only():
    batch = sample()
    for training, margin in ((True, 0.3), (False, 0.0)):
        model = tiny_model("s2c", **AAM).train(training)
        loss, _, logging = criterion()(model, batch)
        logits = model(**batch["net_input"]).speaker.logits
        expected = class_loss(logits, batch["classes"], kind="aam", margin=margin, scale=10.0)
        torch.testing.assert_close(loss, expected.loss)
        assert logging["correct"] == (logits.argmax(1) == batch["classes"]).sum()


@pytest.mark.parametrize("change", [{"speaker_loss": "am"}, {"speaker_margin": 0.1}, {"speaker_scale": 5.0}])
def test_options_of_the_loss_take_effect(change):
    losses = [criterion()(tiny_model("s2c", **{**AAM, **options}).train(), sample())[0] for options in ({}, change)]
    assert not torch.isclose(*losses, rtol=1e-3)


def test_logs_of_workers_give_the_ratio_of_sums():
    model, batch = tiny_model("s2c").eval(), sample()
    singles = []
    for row in range(3):
        single = {"id": torch.tensor([row]), "nsentences": 1, "ntokens": 1, "classes": batch["classes"][row : row + 1]}
        singles.append(criterion()(model, single | {"net_input": alone(batch["net_input"], row)})[2])
    whole, parts = reduced([criterion()(model, batch)[2]]), reduced(singles)
    assert parts["loss"] == pytest.approx(whole["loss"], abs=2e-3) and parts["accuracy"] == whole["accuracy"]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("loss", ["softmax", "am", "aam"])
@pytest.mark.parametrize("embedding", [0, 4])
def test_everything_that_should_learn_does(pooling, loss, embedding):
    """But for what sees the decoder's zero vector alone, and the queries and keys of its one position."""
    options = {"speaker_pooling": pooling, "speaker_loss": loss, "speaker_embedding_dim": embedding, "mask_prob": 0.5}
    model = tiny_model("s2c", mask_channel_prob=0.1, mask_channel_length=4, **options).train()
    criterion()(model, sample())[0].backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    idle = {name for name, gradient in gradients.items() if gradient is None or not gradient.any()}
    attention = {f"decoder.layers.{layer}.self_attn.{part}_proj" for layer in (0, 1) for part in "qk"}
    assert {name.rpartition(".")[0] for name in idle} <= {*attention, "decoder.layers.0.self_attn.v_proj"}
    assert "decoder.layers.0.self_attn.v_proj.bias" not in idle
    assert all(gradient.isfinite().all() for gradient in gradients.values() if gradient is not None)


def test_a_loss_needs_classes():
    with pytest.raises(ValueError, match="the batch has no classes, and a loss needs them: drop --unlabelled"):
        criterion()(tiny_model("s2c"), sample() | {"classes": None})


@pytest.mark.parametrize("pooling", POOLINGS)
def test_half_precision(pooling):
    """Sums over frames, cosines and the loss stay in float32."""
    options = {**AAM, "speaker_pooling": pooling, "speaker_embedding_dim": 4}
    expected = criterion()(tiny_model("s2c", **options).train(), sample())[0]
    model = tiny_model("s2c", **options).bfloat16().train()
    loss = criterion()(model, sample())[0]
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.1, atol=0.5)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
