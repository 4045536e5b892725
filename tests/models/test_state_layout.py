"""A checkpoint with anything of another kind in it is refused by that, by whoever reads it."""

import copy

import pytest
import torch
from checkpoints import tiny_checkpoint
from helpers import tiny_piece_model

from speecht5_fairseq.convert.formats import convert
from speecht5_fairseq.models.checkpoint import read_state
from speecht5_fairseq.models.contents import read_contents
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.facts import read_facts

WRONG = {
    "a number among the tensors": ("model", "decoder.x", 3, "in model no tensors: decoder.x"),
    "a tensor of one number": (
        "model", "text_decoder_prenet.embedding.weight", torch.tensor(1.0), "in model single numbers: text_decoder",
    ),
    "a whole number": ("model", "ctc_head.projection.bias", torch.tensor(1), "in model single numbers: ctc_head"),
    "a name that is no text": ("model", 7, torch.ones(2), "in model no tensors: a name that is a int"),
    "a tensor of terabytes": (
        "model", "decoder.x", torch.zeros(1).expand(1 << 40), "in model tensors that are not laid out .*: decoder.x",
    ),
    "symbols that are no letters": ("model", "vocabulary.symbols", torch.ones(3), "symbols holds no letters"),
    "symbols past all letters": (
        "model", "vocabulary.symbols", torch.tensor([1 << 30], dtype=torch.int32), "symbols holds no letters",
    ),
    "task state": ("task_state", None, [1], r"task_state is \[1\], wanted is values by name"),
    "sentencepiece": ("task_state", "sentencepiece", "x", "sentencepiece is 'x', wanted is values by name"),
    "sentencepiece without its model": ("task_state", "sentencepiece", {"file": "x"}, "sentencepiece has no model"),
    "sentencepiece of numbers": (
        "task_state", "sentencepiece", {"file": "x", "model": torch.ones(2)}, "sentencepiece is no tensor of bytes",
    ),
    "units": ("task_state", "units", [1, 2], r"units is \[1, 2\], wanted is a list, in each place a text"),
    "source of units": ("task_state", "unit_source", "x", "unit_source is 'x', wanted is values by name"),
    "model of units": ("task_state", "unit_source", {"model": 3}, "model is 3, wanted is a text"),
    "signal": ("task_state", "signal", 16000, "signal is 16000, wanted is values by name"),
    "options": ("cfg", None, "x", "cfg is 'x', wanted is values by name"),
    "options of the model": ("cfg", "model", [1], r"model is \[1\], wanted is values by name"),
    "options of the task": ("cfg", "task", 3, "task is 3, wanted is values by name"),
    "name of the sentencepiece model": ("cfg", "task", {"spm_model": 3}, "spm_model is 3, wanted is a text"),
    "history": ("optimizer_history", None, [3], r"optimizer_history is \[3\], wanted is a list, in each place values"),
    "updates": ("optimizer_history", None, [{"num_updates": "x"}], "num_updates is 'x', wanted is a whole number"),
    "best": ("extra_state", "best", "low", "best is 'low', wanted is a number"),
    "epoch": ("extra_state", "train_iterator", {"epoch": "x"}, "epoch is 'x', wanted is a whole number"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_of_another_kind_is_named(tmp_path, case):
    part, name, value, said = WRONG[case]
    path = tiny_checkpoint(tmp_path / "bad.pt", "s2t", spm_model=tiny_piece_model(tmp_path / "spm.model"))
    state = torch.load(path)
    state[part] = value if name is None else {**state[part], name: value}
    torch.save(state, path)
    for read in (read_state, read_facts, read_contents, lambda path: convert(path, tmp_path / "out.pt", "released")):
        with pytest.raises(CheckpointError, match=f"^{path}: .*{said}.*; give one that fairseq-train wrote"):
            read(path)


def test_what_tells_nothing_is_read(tmp_path):
    path = tiny_checkpoint(tmp_path / "bare.pt", "s2t")
    state = torch.load(path)
    empty = dict.fromkeys(("cfg", "task_state", "extra_state", "optimizer_history"))
    torch.save({**state, **empty}, path)
    assert read_facts(path).options == {}
    torch.save({"model": state["model"]}, path)
    assert read_facts(path).training.updates == 0


VALUES = (None, "x", -1, 2.5, [1], {"a": 1}, True, torch.tensor(1.0))


@pytest.mark.parametrize("job", ["s2t", "pretrain"])
def test_no_value_anywhere_ends_in_an_error_of_another_kind(tmp_path, job):
    """Each value of a checkpoint, ours and the published code's, in turn: it is read, or refused."""
    pieces = tiny_piece_model(tmp_path / "spm.model") if job == "s2t" else None
    tiny_checkpoint(tmp_path / "ours.pt", job, spm_model=pieces, units=["1"])
    convert(tmp_path / "ours.pt", tmp_path / "theirs.pt", "released")
    bad, refused = tmp_path / "bad.pt", 0
    for source, to in (("ours.pt", "released"), ("theirs.pt", "fairseq")):
        state = torch.load(tmp_path / source, weights_only=True)
        for number, place in enumerate(places(state)):
            torch.save(changed(state, place, VALUES[number % len(VALUES)]), bad)
            try:
                read_facts(bad)
                convert(bad, tmp_path / "out" / "out.pt", to, overwrite=True)
            except ValueError:
                refused += 1
    assert refused > 40


def places(state, start=()):
    """The names on the way to each value, but of single tensors."""
    named = state if isinstance(state, dict) else getattr(state, "__dict__", {}) if start[:1] == ("cfg",) else {}
    for name, value in named.items():
        yield (*start, name)
        if name != "model" or start == ("cfg",):
            yield from places(value, (*start, name))


def changed(state, place, value):
    """A copy with another value in a place; the tensors are shared."""
    copied = {**copy.deepcopy({name: part for name, part in state.items() if name != "model"}), "model": state["model"]}
    part = copied
    for name in place[:-1]:
        part = part[name] if isinstance(part, dict) else getattr(part, name)
    if isinstance(part, dict):
        part[place[-1]] = value
    else:
        setattr(part, place[-1], value)
    return copied
