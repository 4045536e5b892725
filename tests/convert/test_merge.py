"""Low-rank updates folded into the base: the same results, an ordinary checkpoint."""

import pytest
import torch
from helpers import mel_target, model_over, speech_source, text_tokens, tiny_base, tiny_model

from speecht5_fairseq.convert.merge import forget_additions, merged_state
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
