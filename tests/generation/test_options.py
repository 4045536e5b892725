"""Every generation option of fairseq either works or is refused."""

import dataclasses

import pytest
from fairseq.dataclass.configs import GenerationConfig
from omegaconf import OmegaConf

from speecht5_fairseq.generation.beam_search import JointBeamSearch
from speecht5_fairseq.generation.ctc_greedy import CTCGreedySearch
from speecht5_fairseq.generation.options import REFUSED, SUPPORTED, UNSUPPORTED, encoder_inputs, reject_unsupported

FIELDS = [field for field in dataclasses.fields(GenerationConfig) if not field.name.startswith("_")]


def other_value(field):
    """A value that is not the default."""
    if field.default is None:
        return "hard" if field.name == "print_alignment" else "ordered"
    return not field.default if isinstance(field.default, bool) else field.default + 1


def test_every_option_of_fairseq_is_accounted_for():
    assert not set(SUPPORTED) & set(UNSUPPORTED)
    assert {field.name for field in FIELDS} <= {*SUPPORTED, *UNSUPPORTED}


@pytest.mark.parametrize("kind", REFUSED)
def test_defaults_pass(kind):
    reject_unsupported(GenerationConfig(), kind)
    reject_unsupported(OmegaConf.structured(GenerationConfig()), kind)


@pytest.mark.parametrize("field", [f for f in FIELDS if f.name in UNSUPPORTED], ids=lambda field: field.name)
def test_options_without_effect_are_refused(field):
    cfg = GenerationConfig(**{field.name: other_value(field)})
    with pytest.raises(ValueError, match=f"--{field.name.replace('_', '-')} .*has no effect"):
        reject_unsupported(cfg, "joint beam")


def test_options_of_the_search_are_refused_in_greedy_decoding(toy):
    with pytest.raises(ValueError, match="--max-len-b .*greedy CTC.*the frames bound the length"):
        CTCGreedySearch.from_config(GenerationConfig(max_len_b=10), toy.dictionary)


def test_the_search_reads_the_options_that_it_supports(toy):
    cfg = GenerationConfig(
        beam=3, nbest=2, max_len_a=0.1, max_len_b=4, min_len=2, lenpen=0.7, unkpen=0.3, temperature=1.5
    )
    search = JointBeamSearch.from_config(cfg, toy.dictionary, ctc_weight=0.25)
    assert (search.beam, search.ctc_weight, search.max_len_a, search.max_len_b) == (3, 0.25, 0.1, 4)
    assert (search.min_len, search.len_penalty, search.unk_penalty, search.temperature) == (2, 0.7, 0.3, 1.5)
    cfg.unnormalized = True
    assert JointBeamSearch.from_config(cfg, toy.dictionary, ctc_weight=0.25).len_penalty == 0


def test_more_hypotheses_than_the_beam_holds(toy):
    with pytest.raises(ValueError, match="--nbest 4 .*--beam 3"):
        JointBeamSearch.from_config(GenerationConfig(beam=3, nbest=4), toy.dictionary, ctc_weight=0.0)


def test_the_encoder_gets_no_teacher_forcing(toy):
    assert set(encoder_inputs(toy.sample(4))) == {"waveform", "sample_lengths"}


@pytest.mark.parametrize(
    "name, value, mend",
    [("max_len_b", 50, "use --max-length-ratio"), ("min_len", 3, "use --min-length-ratio"), ("lenpen", 2.0, "")],
)
def test_speech_has_no_search_and_other_limits(name, value, mend):
    flag = f"--{name.replace('_', '-')}"
    with pytest.raises(ValueError, match=f"{flag} .now {value}. has no effect in speech decoding: .*{mend}"):
        reject_unsupported(GenerationConfig(**{name: value}), "speech")
