"""Low-rank updates folded into the base: the same results, an ordinary checkpoint."""

import sys

import pytest
import torch
from checkpoints import tiny_checkpoint
from helpers import mel_target, model_over, speech_source, text_tokens, tiny_base, tiny_model

from speecht5_fairseq.convert import merge
from speecht5_fairseq.convert.merge import forget_additions, merged_state
from speecht5_fairseq.models.adapters import Loaded
from speecht5_fairseq.models.base_checkpoint import Bases
from speecht5_fairseq.models.partial import whole_state

TARGETS = ["q,v", "q,k,v,out,fc1,fc2"]


def outputs(model, job):
    if job == "s2t":
        result = model(**speech_source(6400, 4000), prev_output_tokens=text_tokens(5, 4, start=2))
        return result.text_logits, result.ctc_logits
    result = model(source_tokens=text_tokens(6, 4), seeds=torch.tensor([3, 4]), **mel_target(12, 8))
    return result.speech.coarse, result.speech.refined


@pytest.mark.parametrize("layout", [{}, {"pre_norm": True}], ids=["post-norm", "pre-norm"])
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("job", ["s2t", "t2s"])
@torch.no_grad()
def test_merged_is_unmerged(tmp_path, job, targets, layout):
    base = tiny_base(tmp_path / "base.pt", **layout)
    model = model_over(base, job, lora_rank=3, lora_targets=targets, **layout).eval()
    merged = tiny_model(job, seed=9, **layout).eval()
    expected, plain = outputs(model, job), outputs(model_over(base, job, **layout).eval(), job)
    state = merged_state(model)
    merged.load_state_dict(state)
    assert state.keys() == merged.state_dict().keys()
    for found, wanted, without in zip(outputs(merged, job), expected, plain, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        assert (wanted - without).abs().max() > 1e-2


def test_merging_leaves_the_base_of_others_alone(tmp_path):
    base, bases = tiny_base(tmp_path / "base.pt"), Bases()
    model, other = (model_over(base, bases=bases, seed=seed, lora_rank=2) for seed in (1, 2))
    before = {name: value.clone() for name, value in whole_state(other).items()}
    merged_state(model)
    assert all(torch.equal(value, before[name]) for name, value in whole_state(other).items())


def test_options_that_name_additions_go_with_them(tmp_path):
    """A merged checkpoint is built by its options: parts that are there no more would end every load."""
    part, base = "encoder.layers.0.self_attn.q_proj", tiny_base(tmp_path / "base.pt")
    options = {
        "lora_rank": 2,
        "freeze": f"{part}.lora_a:3",
        "lr_factors": f"{part}.lora_b:16",
        "activation_dropout": 0.1,
    }
    state = merged_state(model_over(base, **options))
    forget_additions(options)
    model = tiny_model("s2t", **options)
    model.load_state_dict(state)
    assert options["activation_dropout"] == 0.1 and not model.freezing.used and not model.rates.used


@pytest.fixture
def merging(tmp_path, monkeypatch):
    """The command, of additions to base.pt in a folder that holds another file too; its arguments are given."""
    base = tiny_base(tmp_path / "base.pt")
    adapted = tiny_checkpoint(tmp_path / "adapted.pt", "s2t", base_checkpoint="/elsewhere/base.pt")
    (tmp_path / "other.pt").write_bytes(b"other")
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(merge, "load_adapted", lambda *_: [Loaded(model_over(base, lora_rank=2), None, None)])

    def run(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["merge", str(adapted), "--out", *map(str, arguments)])
        merge.main()

    return run


@pytest.mark.parametrize(
    ("out", "options", "problem"),
    [
        ("other.pt", (), "there already; give another, or --overwrite"),
        ("adapted.pt", ("--overwrite",), "is the checkpoint to merge"),
        ("base.pt", ("--overwrite",), "is its base"),
        ("folder/../base.pt", ("--overwrite",), "is its base"),
        ("folder", ("--overwrite",), "is a folder, but a file is written"),
    ],
)
def test_what_was_not_to_be_replaced_stays(tmp_path, monkeypatch, merging, out, options, problem):
    before = {path: path.read_bytes() for path in tmp_path.glob("*.pt")}
    monkeypatch.setattr(merge, "load_adapted", lambda *_: pytest.fail("is looked at before the work"))
    with pytest.raises(SystemExit, match=problem):
        merging(tmp_path / out, *options)
    assert {path: path.read_bytes() for path in tmp_path.glob("*.pt")} == before


@pytest.mark.parametrize(("out", "options"), [("other.pt", ("--overwrite",)), ("new.pt", ())])
def test_what_may_be_written_is_written(tmp_path, merging, out, options):
    merging(tmp_path / out, *options)
    names = torch.load(tmp_path / out)["model"].keys()
    assert "encoder.layers.0.self_attn.q_proj.weight" in names and not any("lora_" in name for name in names)
