"""The mean of checkpoints: its numbers, which files go into it, and what does not go together."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import CLASSES, tiny_config, tiny_model

from speecht5_fairseq.average import average_checkpoints, main
from speecht5_fairseq.data.piece_model import PieceModel
from speecht5_fairseq.models import SpeechT5Model
from speecht5_fairseq.models.contents import saved_contents
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.jobs import JOBS
from speecht5_fairseq.models.vocabulary import encode


def save(path, model, *, updates=0, options=None, maximize=False, optimizer=None):
    """A checkpoint as fairseq-train writes it, of a model or of its tensors."""
    tensors = model.state_dict() if isinstance(model, torch.nn.Module) else model
    state = {
        "cfg": {"model": options or {}, "checkpoint": {"maximize_best_checkpoint_metric": maximize}},
        "model": tensors,
        "optimizer_history": [{"num_updates": updates}],
        "extra_state": {"train_iterator": {"epoch": updates}, "val_loss": None},
        "last_optimizer_state": optimizer,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def tensors(path):
    return torch.load(path)["model"]


def test_one_checkpoint_is_itself(tmp_path):
    model = tiny_model("t2s", seed=1)
    one = save(tmp_path / "one.pt", model)
    average_checkpoints([one], tmp_path / "mean.pt")
    mean = tensors(tmp_path / "mean.pt")
    assert mean.keys() == model.state_dict().keys()
    assert all(mean[name].dtype == value.dtype for name, value in model.state_dict().items())
    assert all(torch.equal(mean[name], value) for name, value in model.state_dict().items())


def test_floats_are_the_mean_in_float64_and_keep_their_type(tmp_path):
    """In float32, and more so in half precision, the sum of these loses the small ones."""
    rows = [[1e8, 1.0], [1.0, 1.0], [-1e8, 1.0], [1.0, 2.0]]
    for half in (torch.float16, torch.bfloat16):
        paths = [
            save(
                tmp_path / f"{number}.pt",
                {"single": torch.tensor(row), "half": torch.tensor([2048.0, row[1]]).to(half)},
            )
            for number, row in enumerate(rows)
        ]
        average_checkpoints(paths, tmp_path / "mean.pt")
        mean = tensors(tmp_path / "mean.pt")
        assert mean["single"].dtype == torch.float32 and mean["half"].dtype == half
        assert mean["single"].tolist() == [0.5, 1.25] and mean["half"].tolist() == [2048.0, 1.25]


def test_integers_and_the_rest_are_those_of_the_most_updates(tmp_path):
    old, new = tiny_model("t2s", seed=1), tiny_model("t2s", seed=2)
    counts = [name for name in old.state_dict() if name.endswith("num_batches_tracked")]
    for model, count in ((old, 7), (new, 2**40 + 1)):  # which a mean in float32 could not hold
        for name in counts:
            model.get_buffer(name).fill_(count)
    second = save(tmp_path / "second.pt", new, updates=20, optimizer={"state": 1})
    first = save(tmp_path / "first.pt", old, updates=3, optimizer={"state": 1})
    assert average_checkpoints([second, first], tmp_path / "mean.pt") == [first, second]
    state = torch.load(tmp_path / "mean.pt")
    assert counts and all(int(state["model"][name]) == 2**40 + 1 for name in counts)
    symbols = state["model"]["vocabulary.symbols"]
    assert symbols.dtype == torch.int32 and torch.equal(symbols, new.vocabulary.symbols)
    assert state["optimizer_history"] == [{"num_updates": 20}] and state["last_optimizer_state"] is None
    assert state["extra_state"]["train_iterator"] == {"epoch": 20}
    assert state["extra_state"]["averaged"] == ["first.pt", "second.pt"]


def test_the_order_of_the_inputs_does_not_matter(tmp_path):
    paths = [save(tmp_path / f"{n}.pt", tiny_model("s2t", seed=n), updates=n) for n in range(3)]
    average_checkpoints(paths, tmp_path / "a.pt")
    average_checkpoints(paths[::-1], tmp_path / "b.pt")
    first, second = tensors(tmp_path / "a.pt"), tensors(tmp_path / "b.pt")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_tied_embedding_stays_one_tensor_and_loads(tmp_path):
    models = [tiny_model("pretrain", seed=seed) for seed in (1, 2)]
    paths = [save(tmp_path / f"{number}.pt", model) for number, model in enumerate(models)]
    average_checkpoints(paths, tmp_path / "mean.pt")
    mean = tensors(tmp_path / "mean.pt")
    tables = [mean[f"text_{net}.embedding.weight"] for net in ("encoder_prenet", "decoder_prenet", "decoder_postnet")]
    assert len({table.data_ptr() for table in tables}) == 1
    expected = (models[0].text_encoder_prenet.embedding.weight + models[1].text_encoder_prenet.embedding.weight) / 2
    assert torch.allclose(tables[0], expected, atol=1e-7)
    assert (tmp_path / "mean.pt").stat().st_size < 1.1 * paths[0].stat().st_size
    model = tiny_model("s2t", seed=3)
    model.load_state_dict(mean)
    assert torch.equal(model.text_decoder_prenet.embedding.weight, tables[0])


def test_classes_in_another_order_are_refused(tmp_path):
    """Of the same names and sizes: the mean would give each speaker half of another one's row."""
    paths = []
    for number, classes in enumerate((CLASSES, CLASSES[::-1])):
        model = SpeechT5Model(tiny_config(), JOBS["s2c"], symbols=[], padding=0, units=0, classes=classes)
        paths.append(save(tmp_path / f"{number}.pt", model))
    with pytest.raises(CheckpointError, match=r"other classes \(5 and 5 symbols, first .* 0: 'anna' and"):
        average_checkpoints(paths, tmp_path / "mean.pt")
    assert not (tmp_path / "mean.pt").exists()


def with_symbols(*symbols):
    return SpeechT5Model(tiny_config(), JOBS["s2t"], symbols=["<s>", "<pad>", "</s>", *symbols], padding=1, units=0)


def refused(tmp_path, first, second):
    paths = [save(tmp_path / "a.pt", first, updates=1), save(tmp_path / "b.pt", second, updates=2)]
    with pytest.raises(CheckpointError) as error:
        average_checkpoints(paths, tmp_path / "mean.pt")
    assert not (tmp_path / "mean.pt").exists()
    return str(error.value)


def test_other_dictionaries_are_refused(tmp_path):
    """Of one size too, where every shape fits."""
    message = refused(tmp_path, with_symbols("a", "b"), with_symbols("a", "c"))
    assert "a.pt and " in message and "b.pt have other dictionaries (5 and 5 symbols, first different at" in message
    assert "index 4: 'b' and 'c'); average checkpoints of one run" in message
    assert "(5 and 6 symbols); average" in refused(tmp_path, with_symbols("a", "b"), with_symbols("a", "b", "c"))


def test_what_travels_is_the_newest_s_and_must_be_the_same(tmp_path):
    one, two = (PieceModel(tmp_path / "spm.model", content) for content in (b"one", b"two"))
    states = {
        "one": saved_contents(pieces=one),
        "two": saved_contents(pieces=two),
        "old": {},
        "units": saved_contents(units=["1", "2"]),
        "others": saved_contents(units=["2", "1"]),
        "first": saved_contents(units=["1", "2"], unit_source={"model": "a", "features": "mfcc"}),
        "second": saved_contents(units=["1", "2"], unit_source={"model": "b", "features": "mfcc"}),
    }
    paths = {}
    for number, (name, state) in enumerate(states.items()):
        paths[name] = save(tmp_path / f"{name}.pt", tiny_model("pretrain"), updates=number)
        torch.save({**torch.load(paths[name]), "task_state": state}, paths[name])
    average_checkpoints([paths["one"], paths["old"]], tmp_path / "mean.pt")
    assert torch.load(tmp_path / "mean.pt")["task_state"] == {}  # the newest tells nothing
    average_checkpoints([paths["one"], paths["units"]], tmp_path / "mean.pt")
    assert torch.load(tmp_path / "mean.pt")["task_state"]["units"] == ["1", "2"]
    average_checkpoints([paths["units"], paths["first"]], tmp_path / "mean.pt")
    assert torch.load(tmp_path / "mean.pt")["task_state"]["unit_source"]["model"] == "a"
    others = {("one", "two"): "another sentencepiece model", ("units", "others"): "other units"}
    for names, what in {**others, ("first", "second"): "other units"}.items():
        message = f"{names[0]}.pt and .*{names[1]}.pt were trained with {what} each; average checkpoints of one run"
        with pytest.raises(CheckpointError, match=message):
            average_checkpoints([paths[name] for name in names], tmp_path / "mean.pt")


def test_other_sizes_tensors_and_broken_values_are_refused(tmp_path):
    tensor = {"a": torch.ones(2), "b": torch.ones(3)}
    message = refused(tmp_path, tensor, {**tensor, "b": torch.ones(4)})
    assert "b.pt differ in size or type: b (3,) float32 and (4,) float32; average" in message
    assert "float32 and (3,) float16" in refused(tmp_path, tensor, {**tensor, "b": torch.ones(3).half()})
    assert "b.pt hold other tensors: b; average" in refused(tmp_path, tensor, {"a": torch.ones(2)})
    message = refused(tmp_path, tensor, {**tensor, "b": torch.tensor([1.0, float("nan"), 1.0])})
    assert message.endswith("b.pt: NaN or infinity in b; leave this checkpoint out")


def test_additions_to_other_bases_are_refused(tmp_path):
    """Each of them fits its own base alone; the digest is kept as it is."""
    ours, theirs = ({"a": torch.ones(2), "base.digest": encode([digest])} for digest in ("abc1", "abc2"))
    assert "b.pt were trained over another --base-checkpoint each" in refused(tmp_path, ours, theirs)
    average_checkpoints([save(tmp_path / "a.pt", ours), save(tmp_path / "b.pt", ours)], tmp_path / "mean.pt")
    assert torch.equal(tensors(tmp_path / "mean.pt")["base.digest"], ours["base.digest"])


def test_files_that_are_no_checkpoints(tmp_path):
    good = save(tmp_path / "good.pt", {"a": torch.ones(1)})
    with pytest.raises(FileNotFoundError, match="--inputs: no such checkpoint: .*missing.pt; correct the path"):
        average_checkpoints([good, tmp_path / "missing.pt"], tmp_path / "mean.pt")
    torn = tmp_path / "torn.pt"
    torn.write_bytes(good.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="torn.pt: no readable checkpoint"):
        average_checkpoints([good, torn], tmp_path / "mean.pt")
    torch.save({"weights": {}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="other.pt: holds no model"):
        average_checkpoints([tmp_path / "other.pt"], tmp_path / "mean.pt")
    with pytest.raises(ValueError, match="good.pt twice; name each checkpoint once"):
        average_checkpoints([good, tmp_path / "x/../good.pt"], tmp_path / "mean.pt")
    with pytest.raises(ValueError, match="good.pt is one of --inputs; choose another name"):
        average_checkpoints([good], good)
    with pytest.raises(ValueError, match="--inputs: no checkpoint; name at least one"):
        average_checkpoints([], tmp_path / "mean.pt")


def test_other_options_of_the_model_are_told(tmp_path, caplog):
    paths = [
        save(tmp_path / f"{heads}.pt", {"a": torch.ones(1)}, updates=heads, options={"attention_heads": heads, "d": 1})
        for heads in (2, 3)
    ]
    with caplog.at_level(logging.WARNING):
        average_checkpoints(paths, tmp_path / "mean.pt")
    assert caplog.messages == [f"{paths[0]} was trained with other options of the model: attention_heads 2 (taken: 3)"]


@pytest.fixture
def run(tmp_path):
    """A folder in which each checkpoint holds its own number, ten of them by epoch."""
    folder = tmp_path / "run"
    for epoch in range(1, 11):
        save(folder / f"checkpoint{epoch}.pt", {"a": torch.tensor([float(epoch)])}, updates=epoch)
    for update in (90, 100, 110):
        save(folder / f"checkpoint_3_{update}.pt", {"a": torch.tensor([float(update)])}, updates=update)
    for name in ("checkpoint_last.pt", "checkpoint_best.pt", "checkpoint2-shard0.pt"):
        save(folder / name, {"a": torch.tensor([1e6])}, updates=200)
    return folder


def averaged(run, *options):
    main(["--inputs", str(run), *map(str, options), "--output", str(run / "mean.pt")])
    return tensors(run / "mean.pt")["a"].item()


def test_the_last_are_chosen_by_number_and_not_by_spelling(run, capsys):
    assert averaged(run, "--last-epochs", 3) == 9.0
    assert "mean.pt: the mean of 3 (checkpoint8.pt, checkpoint9.pt, checkpoint10.pt)" in capsys.readouterr().out
    assert averaged(run, "--last-updates", 2) == 105.0


@pytest.mark.parametrize(("maximize", "best"), [(True, 2.0), (False, 9.5)])
def test_the_best_go_by_their_metric(run, maximize, best):
    """fairseq's names end in the value and one more digit that tells ties apart."""
    for value, content in (("9.1230", 9.0), ("10.0001", 10.0), ("25.1802", 1.0), ("25.1791", 3.0)):
        tensor = {"a": torch.tensor([content])}
        save(run / f"checkpoint.best_bleu_{value}.pt", tensor, maximize=maximize)
    assert averaged(run, "--best", 2) == best
    save(run / "checkpoint.best_loss_3.1230.pt", {"a": torch.ones(1)})
    with pytest.raises(ValueError, match="holds the best by bleu, loss; name files of one of them"):
        averaged(run, "--best", 1)


def test_a_choice_without_enough_checkpoints(run):
    with pytest.raises(ValueError, match="--last-epochs 11: .*run holds 10 such checkpoints; ask for fewer, or train "):
        averaged(run, "--last-epochs", 11)
    with pytest.raises(ValueError, match="holds 0 such checkpoints; .*--keep-best-checkpoints"):
        averaged(run, "--best", 1)
    with pytest.raises(ValueError, match="--last-updates 0: give at least 1"):
        averaged(run, "--last-updates", 0)
    with pytest.raises(ValueError, match="run is a folder: add --last-epochs"):
        averaged(run)
    files = [str(run / "checkpoint1.pt"), "--last-epochs", "1", "--output", str(run / "mean.pt")]
    with pytest.raises(ValueError, match="--last-epochs chooses from one folder"):
        main(["--inputs", *files])


def test_the_command_ends_mistakes_without_a_traceback(run):
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "speecht5_fairseq.average", "--inputs", str(run), "--output", "mean.pt"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=run, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(f"error: --inputs {run} is a folder: add")
    assert "Traceback" not in done.stderr
