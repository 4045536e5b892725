"""The pre-norm layout, which `transformers` lacks, against the formulas written out in float64.

Nothing here is shared with the package but the weights: loops over positions and heads, T x T x d tensors.
"""

import math

import pytest
import torch
from helpers import LARGE_LAYOUT, TINY_SIZES, speech_source, text_tokens, tiny_dictionary, tiny_model
from torch.nn import functional as F

from speecht5_fairseq.constants import CONV_LAYERS

HEADS, DISTANCE = TINY_SIZES["attention_heads"], TINY_SIZES["relative_distance"]


class Weights:
    """A part of a state dict, in float64."""

    def __init__(self, tensors):
        self.tensors = tensors

    def __getitem__(self, name):
        return self.tensors[name].double()

    def under(self, prefix):
        return Weights({k.removeprefix(prefix + "."): v for k, v in self.tensors.items() if k.startswith(prefix + ".")})


def norm(x, w):
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * w["weight"] + w["bias"]


def linear(x, w):
    return x @ w["weight"].T + w["bias"]


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def positions(first, count, dim):
    half, table = dim // 2, torch.zeros(count, dim, dtype=torch.float64)
    for i in range(count):
        for c in range(half):
            angle = (first + i) * math.exp(-c * math.log(10_000) / (half - 1))
            table[i, c], table[i, half + c] = math.sin(angle), math.cos(angle)
    return table


def attention(x, memory, w, *, table=None, causal=False):
    """x (L, D), memory (T, D) -> (L, D), a head at a time."""
    q, k, v = linear(x, w.under("q_proj")), linear(memory, w.under("k_proj")), linear(memory, w.under("v_proj"))
    size = q.size(1) // HEADS
    mixed = []
    for h in range(HEADS):
        part = slice(h * size, (h + 1) * size)
        scores = q[:, part] @ k[:, part].T
        for i in range(len(x)):
            for j in range(len(memory)):
                if table is not None:
                    distance = max(-DISTANCE, min(DISTANCE - 1, i - j))
                    scores[i, j] += q[i, part] @ table[distance + DISTANCE]
                if causal and j > i:
                    scores[i, j] = -math.inf
        mixed.append((scores / math.sqrt(size)).softmax(-1) @ v[:, part])
    return linear(torch.cat(mixed, -1), w.under("out_proj"))


def feed_forward(x, w):
    return linear(gelu(linear(x, w.under("fc1"))), w.under("fc2"))


def speech_prenet(wave, w):
    """wave (S,) -> (T, D) of the large layout: waveform normalised, LayerNorm in every extractor layer."""
    wave = wave.double()
    x = ((wave - wave.mean()) / (wave.var(correction=0) + 1e-5).sqrt())[None]
    for n, (_, _, stride) in enumerate(CONV_LAYERS):
        x = F.conv1d(x[None], w[f"extractor.convs.{n}.weight"], stride=stride)[0]
        x = gelu(norm(x.T, w.under(f"extractor.norms.{n}"))).T
    x = linear(norm(x.T, w.under("layer_norm")), w.under("projection"))
    conv = w.under("position_conv.conv")
    v = conv["parametrizations.weight.original1"]  # (D, D / groups, kernel), one length a place of the kernel
    length = v.square().sum((0, 1), keepdim=True).sqrt()
    kernel = conv["parametrizations.weight.original0"] * v / length
    padding, groups = TINY_SIZES["position_kernel"] // 2, TINY_SIZES["position_groups"]
    moved = F.conv1d(x.T[None], kernel, conv["bias"], padding=padding, groups=groups)[0, :, :-1]
    x = x + gelu(moved).T
    return x + positions(2, len(x), x.size(1))


def encoder(x, w, layers):
    for n in range(layers):
        layer = w.under(f"layers.{n}")
        table = norm(w["relative_positions.vectors.weight"], layer.under("norm_k"))
        inputs = norm(x, layer.under("self_attn_layer_norm"))
        x = x + attention(inputs, inputs, layer.under("self_attn"), table=table)
        x = x + feed_forward(norm(x, layer.under("final_layer_norm")), layer.under("feed_forward"))
    return norm(x, w.under("layer_norm"))


def decoder(x, memory, w, layers):
    for n in range(layers):
        layer = w.under(f"layers.{n}")
        inputs = norm(x, layer.under("self_attn_layer_norm"))
        x = x + attention(inputs, inputs, layer.under("self_attn"), causal=True)
        inputs = norm(x, layer.under("encoder_attn_layer_norm"))
        x = x + attention(inputs, memory, layer.under("encoder_attn"))
        x = x + feed_forward(norm(x, layer.under("final_layer_norm")), layer.under("feed_forward"))
    return norm(x, w.under("layer_norm"))


@torch.no_grad()
@pytest.mark.parametrize("double", [True, False], ids=["float64", "float32"])
def test_large_layout_is_the_formulas(double):
    model = tiny_model("s2t", **LARGE_LAYOUT, encoder_layers=3).eval()
    weights = Weights(model.state_dict())
    source, tokens = speech_source(4000, 6400), text_tokens(5, 7, start=tiny_dictionary().eos())
    if double:
        model, source["waveform"] = model.double(), source["waveform"].double()
    output = model(**source, prev_output_tokens=tokens)
    tolerance = {"rtol": 1e-5, "atol": 2e-6} if double else {"rtol": 1e-4, "atol": 2e-5}
    for row, count in enumerate((5, 7)):
        wave = source["waveform"][row, : source["sample_lengths"][row]]
        states = encoder(speech_prenet(wave, weights.under("speech_encoder_prenet")), weights.under("encoder"), 3)
        table = weights["text_decoder_prenet.embedding.weight"]
        embedded = table[tokens[row, :count]] + positions(2, count, table.size(1))
        logits = decoder(embedded, states, weights.under("decoder"), TINY_SIZES["decoder_layers"]) @ table.T
        ctc = linear(states, weights.under("ctc_head.projection"))
        frames = int(output.encoded.lengths[row])
        torch.testing.assert_close(output.encoded.states[row, :frames].double(), states, **tolerance)
        torch.testing.assert_close(output.text_logits[row, :count].double(), logits, **tolerance)
        torch.testing.assert_close(output.ctc_logits[row, :frames].double(), ctc, **tolerance)
