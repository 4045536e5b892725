"""The masked-unit head against a cosine similarity written out."""

import torch
from torch.nn import functional as F

from speecht5_fairseq.modules.unit_head import UnitHead


def test_logits_are_cosines_over_the_temperature():
    head, states = UnitHead(dim=6, final_dim=4, units=5), torch.randn(3, 6)
    logits = head(states)
    for frame in range(3):
        for unit in range(5):
            cosine = F.cosine_similarity(head.projection(states[frame]), head.embeddings[unit], dim=0)
            torch.testing.assert_close(logits[frame, unit], cosine / 0.1)
    assert logits.abs().max() <= 10.001


def test_gradients_reach_both_sides_and_no_frame_is_fine():
    head, states = UnitHead(dim=6, final_dim=4, units=5), torch.randn(3, 6, requires_grad=True)
    head(states).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in (states, head.embeddings, head.projection.weight))
    assert head(torch.empty(0, 6)).shape == (0, 5)


def test_half_precision_gives_float32_logits():
    head = UnitHead(dim=6, final_dim=4, units=5).bfloat16()
    assert head(torch.randn(3, 6).bfloat16()).dtype == torch.float32


def test_autocast_gives_float32_logits_too():
    head, states = UnitHead(dim=6, final_dim=4, units=5), torch.randn(3, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        projected = head.projection(states)
        logits = head(states)
    expected = F.cosine_similarity(projected.float()[:, None], head.embeddings[None], dim=-1) / 0.1
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected)
