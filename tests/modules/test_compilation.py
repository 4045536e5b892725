"""Compiled layers: the same numbers and names, and what happens without a compiler."""

import copy
import shutil

import pytest
import torch
from helpers import speech_source, text_tokens, tiny_model

from speecht5_fairseq.modules.compilation import compile_layers, obstacle

needs_compiler = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")


def outputs(model, *samples):
    tokens = text_tokens(*range(4, 4 + len(samples)))
    output = model(**speech_source(*samples), prev_output_tokens=tokens)
    loss = output.text_logits.square().mean() + output.ctc_logits.square().mean()
    gradients = torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad], allow_unused=True)
    return output.text_logits, output.ctc_logits, [each for each in gradients if each is not None]


@needs_compiler
def test_batches_of_several_sizes_give_the_same_numbers():
    """Together with recomputation; the second batch, of another shape, is not compiled again.

    The slowest of all where torch's cache of compiled code is empty.
    """
    torch.compiler.reset()
    plain, fast = (tiny_model("s2t", checkpoint_activations=True).train() for _ in range(2))
    compile_layers([*fast.encoder.layers, *fast.decoder.layers], device="cpu")
    assert fast.encoder.layers[0]._compiled_call_impl is not None
    for number, samples in enumerate(((9000, 5000), (7000, 6000, 4000))):
        with torch.compiler.set_stance("fail_on_recompile" if number else "default"):
            ours = outputs(fast, *samples)
        torch.testing.assert_close(ours, outputs(plain, *samples), rtol=1e-3, atol=1e-5)


def test_names_copies_and_checkpoints_are_as_ever(monkeypatch):
    monkeypatch.setattr("speecht5_fairseq.modules.compilation.obstacle", lambda device: None)
    plain, fast = (tiny_model("s2t") for _ in range(2))
    compile_layers(fast.encoder.layers, device="cpu")
    assert list(fast.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(fast.state_dict())
    assert copy.deepcopy(fast).encoder.layers[0]._compiled_call_impl is None


def test_a_compiler_that_fails_is_one_warning(monkeypatch, caplog):
    def fail(function):
        def run(*inputs):
            raise RuntimeError("\n  no working C++ compiler\nmore")

        return run

    monkeypatch.setattr(torch, "compile", fail)
    assert obstacle("cpu") == "RuntimeError: no working C++ compiler"
    model = tiny_model("s2t")
    compile_layers([*model.encoder.layers, *model.decoder.layers], device="cpu")
    assert model.encoder.layers[0]._compiled_call_impl is None
    (message,) = caplog.messages
    assert message == (
        "no effect: --compile-layers; torch.compile does not work here (RuntimeError: no working C++ compiler)"
    )
