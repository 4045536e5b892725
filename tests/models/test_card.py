"""The model card: what a checkpoint tells, and nothing of the trainer's folders."""

import re

import pytest
import torch
from checkpoints import tiny_checkpoint
from helpers import CLASSES, UNITS, model_over, tiny_base

from speecht5_fairseq.models.card import KINDS, _code, model_card
from speecht5_fairseq.models.facts import read_facts
from speecht5_fairseq.models.jobs import JOBS


@pytest.mark.parametrize("job", JOBS)
def test_a_card_of_every_job(job, tmp_path):
    units = [str(unit) for unit in range(UNITS)] if "pretrain" in job else None
    facts = read_facts(tiny_checkpoint(tmp_path / "model.pt", job, units=units))
    card = model_card(facts)
    assert card.startswith("---\nlicense: # fill in\n") and f"pipeline_tag: {KINDS[job].pipeline}\n---\n" in card
    headings = re.findall(r"^## (.*)$", card, re.MULTILINE)
    assert headings[0] == "What it is" and headings[-1] == "Parameters" and card.count("> Fill in: ") == 3
    assert "SpeechT5.from_pretrained('model.pt')\n" + KINDS[job].call.format(layer=1) in card
    counted = [int(number.replace(",", "")) for number in re.findall(r"^\| `\w+` \| ([\d,]+) \|", card, re.MULTILINE)]
    assert counted == [part.parameters for part in facts.parts]
    assert f"{sum(counted):,} parameters in the file" in card
    assert ("one of 5 speakers" in card) == (job == "s2c") and (f"`{', '.join(CLASSES)}`" in card) == (job == "s2c")
    assert ("symbols: `▁ A B" in card) == JOBS[job].has_text
    assert str(tmp_path) not in card


def test_the_layer_of_the_features_is_one_that_the_model_has(tmp_path):
    card = model_card(read_facts(tiny_checkpoint(tmp_path / "pretrain.pt", "pretrain", encoder_layers=3)))
    assert 'model.extract_features("speech.wav", layer=2)' in card


def test_folders_of_the_training_stay_out(tmp_path):
    """A whole model that came from another, and additions to a base."""
    whole, added = tiny_checkpoint(tmp_path / "asr.pt", "s2t"), tmp_path / "lora.pt"
    state = torch.load(whole)
    state["cfg"]["checkpoint"]["finetune_from_model"] = f"{tmp_path}/start.pt"
    torch.save(state, whole)
    base = tiny_base(tmp_path / "base.pt")
    model = model_over(base, lora_rank=2)
    state["cfg"]["model"] |= {"base_checkpoint": str(base), "lora_rank": 2}
    torch.save({**state, "model": model.state_dict()}, added)
    cards = [model_card(read_facts(path)) for path in (whole, added)]
    assert all("started from `start.pt`" in card and "1,200 updates" in card for card in cards)
    assert "additions to the base `base.pt` (digest " in cards[1] and "merge lora.pt" in cards[1]
    assert not any(str(tmp_path) in card for card in cards)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain", "`plain`"), ("a|b\n# c", "`a|b # c`"), ("`x`", "`` `x` ``"), ("a``b", "``` a``b ```")],
)
def test_any_text_is_shown_as_it_is(text, shown):
    assert _code(text) == shown
