"""The model card of a checkpoint: Markdown of what the file tells, with a line to fill in for each thing it does not.

The form is that of Hugging Face's hub, after Mitchell et al., arXiv 1810.03993. Folders of the training stay out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import NamedTuple

from ..constants import SAMPLE_RATE
from .contents import symbols_of_file
from .facts import Facts
from .jobs import JOBS
from .uses import TITLES, missing_files, uses_of

PAPER = "[SpeechT5](https://arxiv.org/abs/2110.07205)"
SHOWN = 50  # symbols and names


class Kind(NamedTuple):
    """What the card says of a job: the hub's name of it, and how Python calls it."""

    pipeline: str
    call: str


KINDS = {
    "pretrain": Kind("feature-extraction", 'model.extract_features("speech.wav", layer={layer})  # (frames, width)'),
    "pretrain_speech": Kind(
        "feature-extraction", 'model.extract_features("speech.wav", layer={layer})  # (frames, width)'
    ),
    "s2t": Kind("automatic-speech-recognition", 'model.transcribe("speech.wav").text  # or model.translate'),
    "t2s": Kind("text-to-speech", 'model.synthesize("some text", "voice.npy").save("speech.wav")'),
    "s2s": Kind("audio-to-audio", 'model.convert_voice("in.wav", "voice.npy").save("out.wav")  # or model.enhance'),
    "s2c": Kind("audio-classification", 'model.identify("speech.wav").name  # or model.embed'),
}


def model_card(facts: Facts) -> str:
    """Markdown, for the README.md beside a published checkpoint."""
    kind, title = KINDS[facts.job], TITLES[facts.job].title
    head = ["---", "license: # fill in", "language: # fill in", "tags: [speecht5, fairseq]"]
    head += [f"pipeline_tag: {kind.pipeline}", "---", "", f"# {facts.path.stem}: {title}", ""]
    sections = {
        "What it is": [*_what(facts)],
        "How it was trained": [*_training(facts)],
        "What it reads and writes": [*_signals(facts)],
        "How to use it": [*_use(facts, kind)],
        "How good it is": [_open("scores on named test sets, with the options of decoding")],
        "Limits": [_open("voices, languages, noise and uses that it was not made for, and what goes wrong there")],
        "Parameters": [*_parameters(facts)],
    }
    body = [line for name, lines in sections.items() for line in (f"## {name}", "", *lines, "")]
    return "\n".join([*head, *body]).rstrip() + "\n"


def _open(what: str) -> str:
    """A line for the author."""
    return f"> Fill in: {what}."


def _code(text: object) -> str:
    """As Markdown shows any text unchanged, on one line."""
    content = " ".join(str(text).split())
    fence = "`" * (1 + max((len(run) for run in _backticks(content)), default=0))
    space = " " if "`" in content else ""
    return f"{fence}{space}{content}{space}{fence}"


def _backticks(text: str) -> Iterator[str]:
    run = ""
    for character in text + " ":
        if character == "`":
            run += character
        elif run:
            yield run
            run = ""


def _what(facts: Facts) -> Iterator[str]:
    sizes = {"encoder_layers", "decoder_layers", "embed_dim", "attention_heads"}
    options, count = facts.options, sum(part.parameters for part in facts.parts)
    size = ""
    if options.keys() >= sizes:
        size = f", {options['encoder_layers']} + {options['decoder_layers']} layers of width {options['embed_dim']}"
    held = f"{count:,} parameters in the file, {facts.bytes / 1e6:.1f} MB"
    yield f"A {PAPER} model, {TITLES[facts.job].title}{size}; {held}."
    if facts.origin.base is not None:
        name = _code(PurePath(facts.origin.base.path).name)
        yield f"It holds additions to the base {name} (digest {_code(facts.origin.base.digest[:12])}) and needs it."
    if facts.origin.averaged:
        yield f"It is the mean of {len(facts.origin.averaged)} checkpoints of a run."


def _training(facts: Facts) -> Iterator[str]:
    training, start = facts.training, facts.origin.finetuned_from
    epoch = "" if training.epoch is None else f", to epoch {training.epoch}"
    yield f"- {training.updates:,} updates{epoch}, by {_code(facts.origin.writer)}"
    if training.best is not None:
        yield f"- best validation of those with a save after them: {_code(training.metric)} {training.best:g}"
    if start:
        yield f"- started from {_code(PurePath(start).name)}"
    if facts.contents.unit_model:
        units = f"units of k-means {_code(facts.contents.unit_model)} on {_code(facts.contents.unit_features)}"
        yield f"- {facts.units} {units}"
    yield ""
    yield _open("the data: corpora, hours, speakers, languages, licences, and what was left out")


def _signals(facts: Facts) -> Iterator[str]:
    needs, contents, signal = JOBS[facts.job], facts.contents, facts.contents.signal
    if facts.job != "t2s":
        yield f"- speech at {SAMPLE_RATE:,} Hz, one channel; other rates are resampled"
    if needs.has_text and contents.symbols:
        own = symbols_of_file(contents)
        more = " and others" if len(own) > SHOWN else ""
        yield f"- text of {len(own)} symbols: {_code(' '.join(own[:SHOWN]))}{more}"
    if facts.classes:
        more = " and others" if len(contents.classes) > SHOWN else ""
        names = f": {_code(', '.join(contents.classes[:SHOWN]))}{more}" if contents.classes else ""
        yield f"- one of {facts.classes} speakers{names}"
    if facts.job in ("t2s", "s2s") and signal:
        yield f"- a voice: a vector that was made as in training; log-mels ({_code(_named(signal))}) for a vocoder"
    missing = missing_files(facts)
    if missing:
        yield f"- needed beside it: {', '.join(map(_code, missing))} of the training"


def _named(signal: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in signal.items())


def _use(facts: Facts, kind: Kind) -> Iterator[str]:
    name = facts.path.name
    yield from ("```python", "from speecht5_fairseq.interface import SpeechT5", "")
    yield f"model = SpeechT5.from_pretrained({name!r})"
    layers = int(facts.options.get("encoder_layers", 1))
    yield from (kind.call.format(layer=max(1, 3 * layers // 4)), "```")
    elsewhere = facts._replace(path=PurePath(name))
    for use in uses_of(elsewhere):
        needs = use.needs
        if facts.origin.base is not None:
            needs = needs.replace(facts.origin.base.path, PurePath(facts.origin.base.path).name)
        yield from ("", f"To {use.what}; needs {needs}:", "", "```", use.command, "```")


def _parameters(facts: Facts) -> Iterator[str]:
    yield from ("| net | parameters | MB |", "|---|---|---|")
    for part in facts.parts:
        yield f"| {_code(part.net)} | {part.parameters:,} | {part.bytes / 1e6:.1f} |"
