"""The precision of generation where the processor lacks it."""

import pytest
import torch

from speecht5_fairseq.tasks.precision import set_precision
from tests.helpers import tiny_model


@pytest.mark.parametrize("has", [True, False])
def test_bfloat16_that_the_processor_lacks_is_told(monkeypatch, caplog, has):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has)
    set_precision(tiny_model("s2t").eval(), "float32", fp16=False)
    assert not caplog.records
    if has:
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
        monkeypatch.setattr("speecht5_fairseq.modules.row_products._is_for_onednn", lambda dtype: False)
    set_precision(tiny_model("s2t").eval(), "bfloat16", fp16=False)
    assert [r.message for r in caplog.records] == (
        [] if has else ["--generation-precision bfloat16: the cpu here has no such products; float32 is faster"]
    )


@pytest.mark.parametrize("has", [True, False])
def test_half_weights_that_torch_lacks_are_told(monkeypatch, caplog, has):
    monkeypatch.setattr("speecht5_fairseq.tasks.precision.has_half_weights", lambda: has)
    model = tiny_model("s2t").eval()
    set_precision(model, "float16", fp16=False)
    assert model.products is None and model.decoder_steps.layers[0].widen.kept_in == torch.float16
    assert [r.message for r in caplog.records] == (
        [] if has else ["--generation-precision float16: the cpu here has no such products; float32 is faster"]
    )
