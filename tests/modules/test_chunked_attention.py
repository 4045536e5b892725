"""The hand-written backward pass against finite differences and against autograd of the plain formula."""

import pytest
import torch

from speecht5_fairseq.modules import chunked_attention
from speecht5_fairseq.modules.attention import KeyValue, MultiheadAttention, _relative_attention, padding_bias
from speecht5_fairseq.modules.chunked_attention import ChunkedAttention
from speecht5_fairseq.modules.positions import relative as relative_positions

B, H, L, T, WIDTH, R = 2, 2, 5, 6, 4, 6  # R under L + T: distances are clipped at both ends


@pytest.fixture(params=[1 << 20, H * L * T, L * T], ids=["one", "utterance", "head"], autouse=True)
def chunk(request, monkeypatch):
    monkeypatch.setitem(chunked_attention.CHUNK, "cpu", request.param)


def inputs(dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"query": (B, H, L, WIDTH), "key": (B, H, T, WIDTH), "value": (B, H, T, WIDTH), "table": (R, WIDTH)}
    tensors = {name: torch.randn(shape, generator=generator, dtype=dtype) for name, shape in shapes.items()}
    return {name: tensor.requires_grad_() for name, tensor in tensors.items()}


def bias_of(lengths=(6, 3)):
    return padding_bias(torch.arange(T) >= torch.tensor(lengths)[:, None], torch.float64)


def naive(query, key, value, table, bias):
    """The formula itself, with the (L, T, d) tensor that the module never builds; the query is already scaled."""
    half = R // 2
    distance = torch.arange(L)[:, None] - torch.arange(T)[None, :]
    relative = table[distance.clamp(-half, half - 1) + half]  # (L, T, d)
    scores = torch.einsum("bhid,bhjd->bhij", query, key) + torch.einsum("bhid,ijd->bhij", query, relative)
    if bias is not None:
        scores = scores + bias
    return scores.softmax(-1) @ value


def apply(query, key, value, table, bias=None, dropout=0.0):
    rows = relative_positions(table, L, T).rows
    return ChunkedAttention.apply(query, key, value, table, rows, bias, dropout)


@pytest.mark.parametrize("bias", [None, bias_of()], ids=["full", "padded"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_are_finite_differences(bias, dropout):
    def seeded(*tensors):
        torch.manual_seed(3)  # finite differences need one dropout mask
        return apply(*tensors, bias, dropout)

    assert torch.autograd.gradcheck(seeded, tuple(inputs().values()))


@pytest.mark.parametrize("bias", [None, bias_of()], ids=["full", "padded"])
def test_forward_and_gradients_are_the_formula(bias):
    results = []
    for function in (apply, naive):
        tensors = inputs()
        output = function(**tensors, bias=bias)
        weight = torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(5))
        (output * weight).sum().backward()
        results.append([output, *(tensor.grad for tensor in tensors.values())])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)


def test_padded_keys_have_no_part():
    tensors = inputs()
    output = apply(**tensors, bias=bias_of())
    output.sum().backward()
    assert (tensors["key"].grad[1, :, 3:] == 0).all() and (tensors["value"].grad[1, :, 3:] == 0).all()
    changed = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    changed["key"][1, :, 3:], changed["value"][1, :, 3:] = 50.0, -50.0
    torch.testing.assert_close(apply(**changed, bias=bias_of()), output.detach())


def test_dropout_keeps_the_mean_and_drops_its_share():
    tensors = {name: tensor.detach() for name, tensor in inputs().items()}
    tensors["value"] = torch.ones_like(tensors["value"])  # attention sums to 1: the output is the kept share / kept
    draws = torch.stack([apply(**tensors, dropout=0.3) for _ in range(2000)])
    assert abs(draws.mean().item() - 1.0) < 0.01
    assert draws.std() > 0.1


@pytest.mark.parametrize("bias", [None, bias_of()], ids=["full", "padded"])
def test_evaluation_path_is_the_training_path(bias):
    tensors = inputs()
    memory = KeyValue(tensors["key"], tensors["value"])
    training = _relative_attention(tensors["query"], memory, relative_positions(tensors["table"], L, T), bias, 0.0)
    assert training.requires_grad
    with torch.no_grad():
        evaluation = _relative_attention(
            tensors["query"], memory, relative_positions(tensors["table"], L, T), bias, 0.0
        )
    torch.testing.assert_close(training.detach(), evaluation, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_stays_near_float64(dtype):
    low, high = inputs(), inputs()
    low = {name: tensor.detach().to(dtype).requires_grad_() for name, tensor in low.items()}
    ours, expected = apply(**low), naive(**high, bias=None)
    ours.sum().backward()
    expected.sum().backward()
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), expected, rtol=0.05, atol=0.05)
    for name in low:
        torch.testing.assert_close(low[name].grad.double(), high[name].grad, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_loses_no_more_than_autograd(dtype):
    """Values with a mean, as projections have: an error in the sum over many keys would be every key's."""
    length, gradients = 400, {}
    generator = torch.Generator().manual_seed(1)
    shapes = {"query": (1, 1, length, 8), "key": (1, 1, length, 8), "value": (1, 1, length, 8), "table": (32, 8)}
    drawn = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    drawn["value"] += 2
    weight = torch.randn(shapes["query"], generator=generator, dtype=torch.float64)

    def by_autograd(query, key, value, table):
        rows = relative_positions(table, length, length).rows.expand(1, 1, -1, -1)
        scores = torch.gather(query @ table.T, -1, rows) + query @ key.transpose(-2, -1)
        return scores.softmax(-1) @ value

    def by_chunks(query, key, value, table):
        rows = relative_positions(table, length, length).rows
        return ChunkedAttention.apply(query, key, value, table, rows, None, 0.0)

    for kind, function, precision in (
        ("exact", by_autograd, torch.float64),
        ("torch", by_autograd, dtype),
        ("ours", by_chunks, dtype),
    ):
        tensors = {name: tensor.to(dtype).to(precision).requires_grad_() for name, tensor in drawn.items()}
        output = function(**tensors)
        output.backward(weight.to(dtype).to(precision))
        gradients[kind] = {name: tensor.grad.double() for name, tensor in tensors.items()}
    for name, exact in gradients["exact"].items():
        ours, torchs = ((gradients[kind][name] - exact).norm() / exact.norm() for kind in ("ours", "torch"))
        assert ours < 1.5 * torchs, f"{name}: {ours:.4f} beside {torchs:.4f}"


@pytest.mark.parametrize("causal", [False, True])
def test_without_positions_it_is_torch_attention(causal):
    """As the decoder uses it when it trains on a CPU; with the least dropout that takes this path."""
    torch.manual_seed(0)
    net = MultiheadAttention(dim=8, heads=2, dropout=1e-9).double()
    states = torch.randn(2, 5, 8, dtype=torch.float64, requires_grad=True)
    bias = None if causal else padding_bias(torch.tensor([[False] * 5, [False] * 3 + [True] * 2]), torch.float64)
    results = []
    for training in (True, False):
        net.train(training)
        output = net(states, net.remember(states), bias=bias, causal=causal).states
        assert ("ChunkedAttention" in _graph(output)) == training
        results.append([output, *torch.autograd.grad(output.square().sum(), [states, *net.parameters()])])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected)


def _graph(output):
    """Names of the operations behind a tensor."""
    names, nodes = set(), [output.grad_fn]
    while nodes:
        node = nodes.pop()
        names.add(type(node).__name__.removesuffix("Backward"))
        nodes += [parent for parent, _ in node.next_functions if parent is not None]
    return names
