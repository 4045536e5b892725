"""The two layouts of sinusoids and the table of distances."""

import math

import pytest
import torch
from fairseq.modules import SinusoidalPositionalEmbedding

from speecht5_fairseq.modules.positions import (
    RelativePositions,
    ScaledPositions,
    SinusoidalPositions,
    interleaved_sinusoid,
    relative,
)


@pytest.mark.parametrize("dim", [8, 768])
def test_halved_layout_is_fairseq(dim):
    """fairseq numbers from padding index + 1; padded places do not matter, since they are masked everywhere."""
    pad = 1
    tokens = torch.tensor([[5, 6, 7, 8], [5, 6, pad, pad]])
    expected = SinusoidalPositionalEmbedding(dim, pad, init_size=16)(tokens)
    ours = SinusoidalPositions(dim)(torch.zeros(2, 4, dim))
    torch.testing.assert_close(ours[0], expected[0])
    torch.testing.assert_close(ours[1, :2], expected[1, :2])


def test_halved_layout_goes_on_at_an_offset():
    positions, states = SinusoidalPositions(8), torch.randn(1, 6, 8)
    torch.testing.assert_close(positions(states[:, 4:], offset=4), positions(states)[:, 4:])


def test_long_sequences_have_no_limit():
    assert torch.isfinite(SinusoidalPositions(8)(torch.zeros(1, 20_000, 8))).all()


@pytest.mark.parametrize("dim", [6, 768])
def test_interleaved_layout_is_the_formula_of_the_paper(dim):
    """PE(pos, 2i) = sin(pos / 10000^(2i/d)), PE(pos, 2i + 1) = cos(the same): arXiv 1706.03762, section 3.5."""
    table = interleaved_sinusoid(torch.arange(50), dim)
    for position in (0, 1, 17, 49):
        for i in range(0, dim // 2, max(1, dim // 8)):
            angle = position / 10_000 ** (2 * i / dim)
            assert table[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_scaled_positions_start_at_zero_and_learn_their_scale():
    positions, states = ScaledPositions(6, dropout=0.0), torch.randn(2, 4, 6)
    table = interleaved_sinusoid(torch.arange(4), 6)
    torch.testing.assert_close(positions(states), states + table)
    with torch.no_grad():
        positions.alpha.fill_(0.5)
    torch.testing.assert_close(positions(states), states + 0.5 * table)
    positions(states).sum().backward()
    assert positions.alpha.grad.item() == pytest.approx(2 * table.sum().item(), rel=1e-4)


def test_distances_are_clipped_at_both_ends():
    rows = relative(torch.zeros(6, 4), 8, 8).rows
    assert rows[7].tolist() == [5, 5, 5, 5, 5, 5, 4, 3]  # i - j = 7 ... 0: at most 2, which is row 5
    assert rows[0].tolist() == [3, 2, 1, 0, 0, 0, 0, 0]  # i - j = 0 ... -7: at least -3, which is row 0


def test_the_table_has_a_row_for_each_distance():
    assert RelativePositions(4, 160)(5).table.shape == (320, 4)
