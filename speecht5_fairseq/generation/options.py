"""What fairseq-generate may ask of the text decoders: options that would have no effect are errors."""

from typing import Any

from fairseq.dataclass.configs import GenerationConfig
from torch import Tensor

from ..outputs import EncoderOutput
from ..ranges import typed

_NO_SAMPLING = "the search is a beam search and draws nothing"
_NO_DIVERSITY = "the beam search has no diversity term"
_NO_REFINEMENT = "the decoder is autoregressive and refines nothing"
_ONE_PASS = "there is one decoding pass"
_RECOGNITION = "the source is audio"

ENCODER_INPUTS = ("waveform", "sample_lengths", "source_tokens", "seeds")  # of a batch's net_input
# Options of fairseq's GenerationConfig that have no effect here, and why. A test holds that every field of the
# installed fairseq stands in exactly one of these tables.
UNSUPPORTED = {
    "beam_mt": _ONE_PASS,
    "max_len_a_mt": _ONE_PASS,
    "max_len_b_mt": _ONE_PASS,
    "lenpen_mt": _ONE_PASS,
    "match_source_len": f"{_RECOGNITION}; use --max-len-a and --max-len-b, which count encoder frames and output steps",
    "no_early_stop": "fairseq has retired it",
    "no_beamable_mm": "fairseq has retired it",
    "replace_unk": f"{_RECOGNITION}: there is no source word to copy",
    "score_reference": "references are not scored; the validation loss of fairseq-validate does that",
    "prefix_size": "hypotheses are not forced to begin with the reference",
    "no_repeat_ngram_size": "n-grams are not blocked; --ctc-decoding-weight above 0 keeps the output from looping",
    "sampling": _NO_SAMPLING,
    "sampling_topk": _NO_SAMPLING,
    "sampling_topp": _NO_SAMPLING,
    "constraints": "lexical constraints are not implemented",
    "diverse_beam_groups": _NO_DIVERSITY,
    "diverse_beam_strength": _NO_DIVERSITY,
    "diversity_rate": _NO_DIVERSITY,
    "print_alignment": "the decoder keeps no attention weights",
    "print_step": _NO_REFINEMENT,
    "iter_decode_eos_penalty": _NO_REFINEMENT,
    "iter_decode_max_iter": _NO_REFINEMENT,
    "iter_decode_force_max_iter": _NO_REFINEMENT,
    "iter_decode_with_beam": _NO_REFINEMENT,
    "iter_decode_with_external_reranker": _NO_REFINEMENT,
    "retain_iter_history": _NO_REFINEMENT,
    "retain_dropout": "decoding runs without dropout",
    "retain_dropout_modules": "decoding runs without dropout",
    "decoding_format": _NO_REFINEMENT,
    "eos_token": "hypotheses end with the dictionary's own </s>",
}

# Options that only a beam search reads: errors with greedy CTC decoding.
BEAM_SEARCH_ONLY = {
    "max_len_a": "the frames bound the length",
    "max_len_b": "the frames bound the length",
    "min_len": "the length follows from the frames",
    "unnormalized": "there is one hypothesis, nothing is compared",
    "lenpen": "there is one hypothesis, nothing is compared",
    "unkpen": "each frame's best symbol is taken as it is",
    "temperature": "it would not change which symbol is best",
    "lm_path": "no language model is read",
    "lm_weight": "no language model is read",
    "nbest": "there is one hypothesis",
}

# `sacrebleu` and `no_seed_provided` are fairseq-generate's own; decoding without a search leaves `beam` alone because
# its default is 5, which cannot be told from a request.
SUPPORTED = (*BEAM_SEARCH_ONLY, "beam", "sacrebleu", "no_seed_provided")


_ONE_CLASS = "an utterance gets its class in one pass, without a search"
_FRAME_BY_FRAME = "speech is generated frame by frame, without a search"
# What each kind of decoding refuses, and why.
REFUSED = {
    "joint beam": UNSUPPORTED,
    "greedy CTC": UNSUPPORTED | BEAM_SEARCH_ONLY,
    "speech": dict.fromkeys(UNSUPPORTED | BEAM_SEARCH_ONLY, _FRAME_BY_FRAME)
    | dict.fromkeys(("max_len_a", "max_len_b"), f"{_FRAME_BY_FRAME}; use --max-length-ratio")
    | {"min_len": f"{_FRAME_BY_FRAME}; use --min-length-ratio"},
    "class": dict.fromkeys(UNSUPPORTED | BEAM_SEARCH_ONLY, _ONE_CLASS)
    | {"nbest": f"{_ONE_CLASS}; --top-classes names more than one"},
}


def reject_unsupported(cfg: Any, kind: str) -> None:
    """Refuse options that differ from fairseq's default and would have no effect.

    Args:
        cfg: fairseq's generation options (`GenerationConfig` or the DictConfig made of it).
        kind: of decoding, a key of `REFUSED`.

    Raises:
        ValueError: the first such option, its value and the mend.
    """
    refused = REFUSED[kind]
    for field in GenerationConfig.__dataclass_fields__.values():
        if field.name not in refused:
            continue
        value = getattr(cfg, field.name)
        if value != field.default:
            raise ValueError(
                f"{_flag(field.name)} (now {value!r}) has no effect in {kind} decoding: {refused[field.name]}; leave "
                f"it at its default {field.default!r}"
            )
    if cfg.nbest > cfg.beam:
        raise ValueError(f"--nbest {cfg.nbest} asks for more hypotheses than --beam {cfg.beam} keeps: raise --beam")


def reject_forced_output(prefix_tokens: Any, constraints: Any) -> None:
    """Refuse the two arguments of `generate` that force parts of the output.

    Raises:
        ValueError: one of them is given.
    """
    for name, value in (("prefix_tokens", prefix_tokens), ("constraints", constraints)):
        if value is not None:
            raise ValueError(f"{name} is given, but hypotheses cannot be forced: leave it out")


def only_model(models: list) -> Any:
    """The single model of the list, in evaluation mode.

    Raises:
        ValueError: not exactly one model.
    """
    if len(models) != 1:
        raise ValueError(
            f"decoding takes one model, --path names {len(models)}: average the checkpoints first "
            "(python -m speecht5_fairseq.average) and give the averaged file"
        )
    models[0].eval()  # after fairseq's prepare_for_inference_, eval() returns nothing
    return models[0]


def encoder_inputs(sample: dict) -> dict:
    """The part of a batch that the encoder reads."""
    return {name: value for name, value in sample["net_input"].items() if name in ENCODER_INPUTS}


def ctc_log_probs(model: Any, encoded: EncoderOutput) -> Tensor:
    """(B, T, V) log-probabilities of the model's CTC head.

    Raises:
        ValueError: the model has none.
    """
    if not model.has_ctc:
        raise ValueError(
            "the model has no CTC head: decode with --decoding beam and --ctc-decoding-weight 0, or train without "
            "--no-ctc-head and with a --ctc-weight above 0"
        )
    return model.ctc_log_probs(encoded)


def _flag(name: str) -> str:
    return f"--{typed(name)}"
