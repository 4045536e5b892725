"""Pictures go where fairseq's scalars go."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fairseq.logging import progress_bar
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from speecht5_fairseq.constants import SAMPLE_RATE
from speecht5_fairseq.generation.previews import Picture, Sound, Words
from speecht5_fairseq.training.picture_targets import TensorBoard, WeightsAndBiases, missing_targets, open_targets

SHOWN = (
    Picture("a/picture", np.arange(60, dtype=np.uint8).reshape(4, 5, 3)),
    Sound("a/sound", torch.linspace(-0.5, 0.5, 800)),
    Words("text", "| a | <unk>"),
)


@pytest.fixture(autouse=True)
def no_writers(monkeypatch):
    monkeypatch.setattr(progress_bar, "_tensorboard_writers", {})


def test_tensorboard_has_one_file_with_the_scalars_of_the_subset(tmp_path):
    (target,) = open_targets(str(tmp_path), None, "valid")
    for shown in SHOWN:
        target.show(shown, 7)
    bar = progress_bar.TensorboardProgressBarWrapper(SimpleNamespace(print=lambda *a, **k: None), str(tmp_path))
    bar.print({"loss": 2.5, "num_updates": 7}, tag="valid", step=7)
    target.finish()
    (file,) = (tmp_path / "valid").iterdir()
    found = EventAccumulator(str(file)).Reload()
    tags = found.Tags()
    assert tags["images"] == ["a/picture"] and tags["audio"] == ["a/sound"] and tags["scalars"] == ["loss"]
    assert "text/text_summary" in tags["tensors"]
    (picture,), (sound,) = found.Images("a/picture"), found.Audio("a/sound")
    assert (picture.step, picture.height, picture.width) == (7, 4, 5)
    assert (sound.step, sound.sample_rate, sound.length_frames) == (7, SAMPLE_RATE, 800)


def test_wandb_has_them_under_the_name_of_the_subset(monkeypatch):
    logged = []
    wandb = SimpleNamespace(
        run=object(),
        log=lambda values, step: logged.append((values, step)),
        Image=lambda pixels: ("image", pixels.shape),
        Audio=lambda wave, sample_rate: ("audio", len(wave), sample_rate),
        Html=lambda text: ("text", text),
    )
    monkeypatch.setattr(progress_bar, "wandb", wandb)
    (target,) = open_targets(None, "voices", "valid")
    assert isinstance(target, WeightsAndBiases)
    for shown in SHOWN:
        target.show(shown, 7)
    target.finish()
    assert logged == [
        ({"valid/a/picture": ("image", (4, 5, 3))}, 7),
        ({"valid/a/sound": ("audio", 800, SAMPLE_RATE)}, 7),
        ({"valid/text": ("text", "<pre>| a | &lt;unk&gt;</pre>")}, 7),
    ]
    wandb.run = None  # fairseq could not begin it
    assert not list(open_targets(None, "voices", "valid"))


def test_both_at_once_and_neither(tmp_path, monkeypatch):
    monkeypatch.setattr(progress_bar, "wandb", SimpleNamespace(run=object()))
    kinds = [type(target) for target in open_targets(str(tmp_path), "voices", "valid")]
    assert kinds == [TensorBoard, WeightsAndBiases]
    assert not list(open_targets(None, None, "valid")) and not missing_targets(str(tmp_path), "voices")
