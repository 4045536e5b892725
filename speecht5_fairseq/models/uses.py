"""What a checkpoint can do, and the command lines to do it with."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

from .config import SpeechT5LargeConfig
from .contents import cuts_text
from .facts import PRESETS, RELEASED, Facts, changed
from .jobs import JOBS
from .released_presets import PRESETS as RELEASED_PRESETS


class Title(NamedTuple):
    """What people call a job, and its task."""

    title: str
    task: str


TITLES = {
    "pretrain": Title("joint pre-training on speech and text", "speecht5_pretrain"),
    "pretrain_speech": Title("pre-training on speech", "speecht5_pretrain"),
    "s2t": Title("speech to text", "speecht5_s2t"),
    "t2s": Title("text to speech", "speecht5_t2s"),
    "s2s": Title("speech to speech", "speecht5_s2s"),
    "s2c": Title("speech to class", "speecht5_s2c"),
}
# Options that shape a model or what it hears: a training that starts from it needs the same.
SIZES = (
    "embed_dim", "ffn_dim", "attention_heads", "encoder_layers", "decoder_layers", "pre_norm", "relative_distance",
    "conv_channels", "extractor_norm", "normalize_waveform", "position_kernel", "position_groups", "reduction_factor",
    "speech_prenet_dim", "postnet_layers", "postnet_channels", "speech_prediction", "unit_dim", "codebook_groups",
    "codebook_entries",
)  # fmt: skip


class Generation(NamedTuple):
    """What fairseq-generate makes of a job: what that is, the data that it needs, the options besides."""

    what: str
    needs: str
    options: str


_GENERATIONS = {
    "s2t": Generation(
        "write down or translate speech",
        "DATA/test.tsv (path, samples) and DATA/test.txt; without texts --unlabelled in place of --scoring",
        "--max-tokens 800000 --beam 5 --max-len-a 0.5 --max-len-b 5 --post-process sentencepiece",
    ),
    "t2s": Generation(
        "speak texts",
        "DATA/test.tsv (path, samples, speaker vector) and DATA/test.txt (manifest_tools.sentences makes both)",
        "--max-tokens 800000 --results-path OUT",
    ),
    "s2s": Generation(
        "convert or enhance speech",
        "DATA/test.tsv (source path, samples, target path, samples, speaker vector)",
        "--max-tokens 800000 --results-path OUT",
    ),
    "s2c": Generation(
        "tell speakers apart",
        "DATA/test.tsv (path, samples, class; without classes --unlabelled)",
        "--batch-size 8 --results-path OUT --save-embeddings",
    ),
}


class Use(NamedTuple):
    """Something a checkpoint can do: with what data, by which command line."""

    what: str
    needs: str
    command: str


def uses_of(facts: Facts) -> list[Use]:
    """What can be done with a checkpoint."""
    uses = [use for use in (_generation(facts),) if use is not None]
    origin = facts.origin
    if origin.base is not None and not facts.options.get("adapter_dim"):
        command = f"python -m speecht5_fairseq.convert.merge {quoted(facts.path)} --out merged.pt"
        uses.append(Use("become a whole model", f"its base, {origin.base.path}", command))
    start = [f"--arch {_arch(facts)}", *flags(_sizes(facts)), f"--finetune-from-model {quoted(facts.path)}"]
    if origin.base is None:
        needs = "the other flags of a recipe in examples/, and dict.txt and spm.model where it reads text (--extract)"
        uses.append(Use("start a training", needs, f"fairseq-train ... {' '.join(start)}"))
    return uses


def _generation(facts: Facts) -> Use | None:
    """What fairseq-generate makes of the job; None for pre-training, which makes nothing."""
    if facts.job not in _GENERATIONS:
        return None
    what, needs, options = _GENERATIONS[facts.job]
    task = TITLES[facts.job].task
    command = f"fairseq-generate DATA --user-dir speecht5_fairseq --task {task} --path {quoted(facts.path)}"
    words = [command, "--gen-subset test", options]
    if facts.job == "s2t":
        words.append(_search(facts))
    missing = missing_files(facts)
    if "spm.model" in missing:
        words.append("--spm-model spm.model")
    needs += f", and {' and '.join(missing)} of the training" if missing else ""
    if facts.origin.base is not None:
        needs += f", and its base, {facts.origin.base.path}"
    return Use(what, needs, " ".join(words))


def _search(facts: Facts) -> str:
    """CTC scores where a CTC loss was trained; a training without one is taken for translation."""
    if facts.ctc_weight:
        return "--ctc-decoding-weight 0.5 --scoring wer_cer"
    untold = facts.ctc_weight is None and not facts.options.get("no_ctc_head", False)
    return "--scoring wer_cer" if untold else "--scoring bleu_chrf"


def missing_files(facts: Facts) -> list[str]:
    """Files of the training that decoding needs because the checkpoint does not hold them."""
    contents, missing = facts.contents, []
    if (JOBS[facts.job].has_text and not contents.symbols) or (facts.job == "s2c" and not contents.classes):
        missing.append("dict.txt")
    cuts = cuts_text(contents, facts.task, published=facts.origin.writer == RELEASED)
    if JOBS[facts.job].has_text and cuts and contents.pieces is None:
        missing.append("spm.model")
    return missing


def _arch(facts: Facts) -> str:
    if facts.preset in RELEASED_PRESETS:
        large = issubclass(RELEASED_PRESETS[facts.preset], SpeechT5LargeConfig)
        return "speecht5_large" if large else "speecht5"
    return facts.preset or "speecht5"


def _sizes(facts: Facts) -> dict[str, Any]:
    """The sizes that differ from the preset which a new training would name."""
    found = changed(facts.options, PRESETS.get(_arch(facts), PRESETS["speecht5"]))
    return {name: value for name, value in found.items() if name in SIZES}


def flags(options: dict[str, Any]) -> Iterator[str]:
    """As typed; a flag of fairseq's turns its default over."""
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        yield flag if isinstance(value, bool) else f"{flag} {quoted(value)}"


def quoted(value: object) -> str:
    """For a shell."""
    return shlex.quote(str(value))
