"""When a training draws, that it leaves no trace, and that nothing which goes wrong ends it."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fairseq.logging import progress_bar
from helpers import NEW_RUN, model_options, tiny_manifest, tiny_model

from speecht5_fairseq.generation import previews
from speecht5_fairseq.generation.previews import Preview
from speecht5_fairseq.tasks.s2c import S2CTask, S2CTaskConfig
from speecht5_fairseq.tasks.t2s import T2STask, T2STaskConfig
from speecht5_fairseq.training import pictures
from speecht5_fairseq.training.pictures import undisturbed

BORROWED = {**NEW_RUN, "seed": 1, "train_subset": "train", "valid_subset": "valid,other", "wandb_project": None}
BORROWED |= {"results_path": None, "tensorboard_logdir": None, "disable_validation": False}


class Kept:
    """Stands for a place that shows."""

    def __init__(self):
        self.names = []
        self.finished = 0

    def show(self, shown, step):
        self.names.append((step, shown.name))

    def finish(self):
        self.finished += 1


@pytest.fixture
def target(monkeypatch):
    """Pictures are made, but not drawn, which takes a third of a second each."""
    kept = Kept()
    monkeypatch.setattr(previews, "pixels", lambda figure: figure)
    monkeypatch.setattr(pictures, "open_targets", lambda logdir, project, tag: [kept] if tag == "valid" else [])
    return kept


@pytest.fixture
def task(tmp_path):
    def build(**options):
        tiny_manifest(tmp_path, 3, job="t2s", split="valid")
        cfg = T2STaskConfig(data=str(tmp_path), **{**BORROWED, "picture_interval": 1, **options})
        found = T2STask.setup_task(cfg)
        found.load_dataset("valid")
        return found

    return build


def validate(task, model, step, subsets=2):
    """As fairseq-train does."""
    model.eval()
    task.begin_valid_epoch(1, model)
    for _ in range(subsets):
        task.post_validate(model, {"num_updates": step}, {})


def test_the_first_of_every_n_validations_shows_the_first_utterances_of_the_first_subset(task, target):
    found, model = task(picture_interval=3, picture_utterances=2), tiny_model("t2s")
    for step in range(10, 80, 10):
        validate(found, model, step)
    assert [step for step, _ in target.names if step != 10] == [40] * 6 + [70] * 6
    rows = {name.split("/")[0] for _, name in target.names}
    assert rows == {"utterance_1", "utterance_2"} and target.finished == 3
    targets = [step for step, name in target.names if name.endswith("/target")]
    assert targets == [10, 10]  # their sound stays as it is
    assert found.utterances.titles == ["valid.tsv:2", "valid.tsv:3"]


def test_without_the_option_nothing_is_drawn(task, target):
    validate(task(picture_interval=0), tiny_model("t2s"), 1)
    assert not target.names and not target.finished


def test_of_several_processes_the_first_draws(task, target, monkeypatch):
    monkeypatch.setattr(pictures, "is_first_process", lambda: False)
    validate(task(), tiny_model("t2s"), 1)
    assert not target.names


def test_generators_modes_and_states_are_as_before(task, target):
    found, model = task(), tiny_model("t2s")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def draws():
        torch.manual_seed(1), random.seed(1), np.random.seed(1)
        yield
        yield torch.rand(3).tolist(), random.random(), np.random.rand()

    expected = [*draws()][1]
    for training in (True, False):
        now = draws()
        next(now)
        model.train(training)
        found.begin_valid_epoch(1, model)
        found.post_validate(model, {"num_updates": 1}, {})
        assert next(now) == expected
        assert all(part.training is training for part in model.modules())
    assert target.names
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters()) and model.decoder_steps is None


def test_whatever_is_drawn_inside_the_generators_go_on_as_before():
    model = tiny_model("t2s").train()
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    with pytest.raises(KeyError), undisturbed(model):
        torch.rand(5), random.random(), np.random.rand()
        assert not model.training and not torch.is_grad_enabled()
        raise KeyError
    drawn = torch.rand(2), random.random(), np.random.rand()
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    assert torch.equal(drawn[0], torch.rand(2)) and drawn[1:] == (random.random(), np.random.rand())
    assert model.training and torch.is_grad_enabled()


def test_what_fails_is_told_of_once_by_name_and_the_rest_is_shown(task, target, monkeypatch, caplog):
    def broken(spec):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(previews, "load_vocoder", broken)
    found, model = task(picture_utterances=1), tiny_model("t2s")
    for step in (1, 2):
        validate(found, model, step)
    told = [record.message for record in caplog.records if "failed" in record.message]
    why = "(RuntimeError: CUDA out of memory); training goes on, and this is not told again"
    assert told == [f"--picture-interval: generated speech failed {why}"]
    assert target.names == [(step, "utterance_1/mel_teacher_forced") for step in (1, 2)]


def test_a_place_that_cannot_be_opened_is_told_of(task, monkeypatch, caplog):
    def broken(*places):
        raise PermissionError("read-only")

    monkeypatch.setattr(pictures, "open_targets", broken)
    validate(task(), tiny_model("t2s"), 1)
    assert "--picture-interval: pictures failed (PermissionError: read-only)" in caplog.text


def built(folder, *, job="t2s", from_checkpoint=False, **options):
    """Warnings come when the model is built."""
    kind, config = {"t2s": (T2STask, T2STaskConfig), "s2c": (S2CTask, S2CTaskConfig)}[job]
    tiny_manifest(folder, 1, job=job)
    found = kind.setup_task(config(data=str(folder), **{**BORROWED, "save_dir": str(folder), **options}))
    found.build_model(model_options(), from_checkpoint=from_checkpoint)


def test_what_is_missing_is_said_before_the_first_update(tmp_path, caplog, monkeypatch):
    nowhere = "no pictures; there is nowhere to show them: add --tensorboard-logdir FOLDER or --wandb-project NAME"
    built(tmp_path, picture_interval=2)
    assert f"--picture-interval 2: {nowhere}" in caplog.messages
    caplog.clear()
    built(tmp_path, picture_interval=2, tensorboard_logdir=str(tmp_path / "log"))
    assert "no pictures" not in caplog.text
    built(tmp_path, picture_interval=2, tensorboard_logdir=str(tmp_path / "log"), disable_validation=True)
    assert "no pictures; they come with validations: drop --disable-validation" in caplog.text
    monkeypatch.setattr(progress_bar, "SummaryWriter", None)
    monkeypatch.setattr(progress_bar, "wandb", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    built(tmp_path, picture_interval=2, tensorboard_logdir="log", wandb_project="voices")
    for what in ("matplotlib", "tensorboard", "wandb"):
        assert any("no pictures; " in told and f"`pip install {what}`" in told for told in caplog.messages)


def test_options_without_effect_are_warned_of(tmp_path, caplog):
    built(tmp_path, picture_interval=0, picture_utterances=9)
    assert "no effect: --picture-utterances 9; it needs --picture-interval" in caplog.messages
    built(tmp_path, job="s2c", picture_interval=1, picture_utterances=8)
    assert "no effect: --picture-utterances 8; there is nothing to draw of classes" in caplog.messages
    built(tmp_path, picture_interval=1, from_checkpoint=True)
    assert "no effect: --picture-interval 1; they are for fairseq-train" in caplog.messages


def test_numbers_that_cannot_be_meant_are_refused(task):
    with pytest.raises(ValueError, match="--picture-interval -1: give a whole number that is not below 0"):
        task(picture_interval=-1)
    with pytest.raises(ValueError, match="--picture-utterances 0: give a whole number above 0"):
        task(picture_utterances=0)


def test_utterances_come_in_the_precision_of_the_model(task, target):
    found = task(picture_utterances=1)
    model = tiny_model("t2s").double()
    seen = []
    found.previews = lambda model, shown, meters: iter([Preview("batch", lambda: seen.append(shown) or iter(()))])
    validate(found, model, 1)
    inputs = SimpleNamespace(**seen[0].batch["net_input"])
    assert inputs.target_frames.dtype == inputs.speaker.dtype == torch.float64
    assert inputs.source_tokens.dtype == torch.int64
