"""Options of how training calculates: what they do, where they do nothing, and that every command line has them."""

import pytest
import torch
from helpers import NEW_RUN, model_options, tiny_manifest

from speecht5_fairseq.modules import compilation
from speecht5_fairseq.tasks.s2c import S2CTask, S2CTaskConfig
from speecht5_fairseq.tasks.s2t import S2TTask, S2TTaskConfig


@pytest.fixture(autouse=True)
def precision_goes_back():
    """torch's setting is that of the process."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def task_of(folder, *, job="s2t", from_checkpoint=False, **options):
    tiny_manifest(folder, 1, job=job)
    if job == "s2c":
        cfg = S2CTaskConfig(data=str(folder), **{**NEW_RUN, "save_dir": str(folder), **options})
        return S2CTask.setup_task(cfg, from_checkpoint=from_checkpoint)
    cfg = S2TTaskConfig(data=str(folder), lm_path=None, **{**NEW_RUN, "save_dir": str(folder), **options})
    return S2TTask.setup_task(cfg, from_checkpoint=from_checkpoint)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_training_sets_the_precision_of_products(tmp_path, precision):
    torch.set_float32_matmul_precision("high")
    task_of(tmp_path, matmul_precision=precision).build_model(model_options())
    assert torch.get_float32_matmul_precision() == precision


def test_training_without_the_option_keeps_all_digits(tmp_path):
    torch.set_float32_matmul_precision("medium")
    task_of(tmp_path).build_model(model_options())
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("job", ["s2t", "s2c"])
def test_decoding_leaves_it_alone_and_says_so(tmp_path, caplog, job):
    asked = {"matmul_precision": "medium", "compile_layers": True}
    model = task_of(tmp_path, job=job, **asked).build_model(model_options(), from_checkpoint=True)
    assert torch.get_float32_matmul_precision() == "highest" and not compiled(model)
    told = "no effect: --matmul-precision medium, --compile-layers True; they are for fairseq-train"
    assert told in caplog.messages
    caplog.clear()
    task_of(tmp_path, job=job, from_checkpoint=True, **asked).build_model(model_options(), from_checkpoint=True)
    assert told not in caplog.messages  # fairseq-validate: the checkpoint's options, which nobody typed


def compiled(model) -> list[str]:
    """Names of the modules that torch.compile was asked for."""
    return [name for name, module in model.named_modules() if module._compiled_call_impl is not None]


def test_the_layers_and_nothing_else_are_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr(compilation, "obstacle", lambda device: None)
    model = task_of(tmp_path, compile_layers=True).build_model(model_options())
    assert compiled(model) == [f"{stack}.layers.{number}" for stack in ("encoder", "decoder") for number in (0, 1)]
    plain = task_of(tmp_path).build_model(model_options())
    assert not compiled(plain) and list(plain.state_dict()) == list(model.state_dict())


def test_a_model_without_decoder_has_its_encoder_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr(compilation, "obstacle", lambda device: None)
    model = task_of(tmp_path, job="s2c", compile_layers=True).build_model(model_options(speaker_pooling="mean"))
    assert compiled(model) == ["encoder.layers.0", "encoder.layers.1"]


def test_without_a_compiler_one_warning_says_so(tmp_path, monkeypatch, caplog):
    devices = []
    monkeypatch.setattr(compilation, "obstacle", lambda device: devices.append(device) or "no C++ compiler")
    model = task_of(tmp_path, compile_layers=True).build_model(model_options())
    assert not compiled(model) and devices == ["cpu"]
    told = [message for message in caplog.messages if "--compile-layers" in message]
    assert told == ["no effect: --compile-layers; torch.compile does not work here (no C++ compiler)"]
