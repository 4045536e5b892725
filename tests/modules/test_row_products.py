"""Products of few rows against torch's own in float64."""

import pytest
import torch
from torch import nn

from speecht5_fairseq.modules.precision import has_bfloat16
from speecht5_fairseq.modules.row_products import RowProduct


@torch.no_grad()
@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(None, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 2e-2), (torch.float64, 1e-7)]
)
def test_joined_linears_side_by_side(rows, dtype, tolerance):
    torch.manual_seed(0)
    linears = [nn.Linear(48, width) for width in (32, 80)]
    inputs = torch.randn(rows, 1, 48)
    exact = torch.cat([linear.double()(inputs.double()) for linear in linears], -1)
    for linear in linears:
        linear.float()
    found = RowProduct(linears, dtype)(inputs)
    assert found.dtype == torch.float32 and found.shape == (rows, 1, 112)
    assert (found - exact).abs().max() < tolerance
    assert dtype != torch.float16 or (found - exact).abs().max() > 1e-6  # half precision takes effect


@torch.no_grad()
@pytest.mark.parametrize("missing", ["onednn", "instructions"])
def test_a_processor_without_bfloat16_takes_torchs_own_product(monkeypatch, missing):
    linear, inputs = nn.Linear(48, 32), torch.randn(5, 48)
    if missing == "onednn":
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    else:
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", None)  # nothing is packed
    plain = RowProduct([linear], torch.bfloat16)
    torch.testing.assert_close(plain(inputs), linear(inputs), rtol=0, atol=2e-2)


@torch.no_grad()
def test_a_processor_without_half_weights_takes_torchs_own_product(monkeypatch):
    linear, inputs = nn.Linear(48, 32), torch.randn(5, 48)
    monkeypatch.setattr("speecht5_fairseq.modules.row_products.has_half_weights", lambda: False)
    product = RowProduct([linear], torch.float16)
    assert product.dtype == torch.float16
    torch.testing.assert_close(product(inputs), linear(inputs), rtol=0, atol=5e-3)


@torch.no_grad()
@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_float32_is_packed_where_mkl_is_slow(monkeypatch, capability):
    packed, pack = [], torch.ops.mkldnn._reorder_linear_weight
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", lambda *given: packed.append(given) or pack(*given))
    linear, inputs = nn.Linear(48, 32), torch.randn(5, 48)
    product = RowProduct([linear])
    assert len(packed) == (capability == "AVX2" and torch.backends.mkldnn.is_available())
    torch.testing.assert_close(product(inputs), linear(inputs))


@torch.no_grad()
@pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="this processor multiplies no bfloat16")
def test_a_packed_weight_gives_torchs_own_product():
    linear, inputs = nn.Linear(48, 32), torch.randn(5, 48)
    torch.testing.assert_close(RowProduct([linear], torch.bfloat16)(inputs), linear(inputs), rtol=0, atol=2e-2)
