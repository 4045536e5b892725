"""Conversion at full size: random models of every job go to the published layout and to transformers, and come back.

    python -m benchmarks.conversion                     base, every job
    python -m benchmarks.conversion --size tiny --jobs t2s

For each: are all tensors the same bits after the way there and back, how far are the logits or the frames that
`transformers` computes from ours, and how long does a direction take. Exits with 1 where a number is wrong.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from sentencepiece import SentencePieceTrainer
from torch import Tensor

from speecht5_fairseq.convert.formats import FAIRSEQ, HUGGINGFACE, RELEASED, convert
from speecht5_fairseq.convert.huggingface_options import CLASSES as THEIR_CLASSES
from speecht5_fairseq.data.piece_model import read_piece_model
from speecht5_fairseq.generation.speech import SpeechLimits, generate_speech
from speecht5_fairseq.models import SpeechT5Config, SpeechT5Model
from speecht5_fairseq.models.contents import saved_contents
from speecht5_fairseq.models.jobs import JOBS

from .measure import machine
from .models import SIZES, UNITS, VOCABULARY, dictionary

CHARACTERS = [chr(ord("一") + number) for number in range(VOCABULARY - 7)]
SPEAKERS = [f"speaker{number}" for number in range(40)]
TOLERANCE = 1e-4  # of what transformers computes
FRAMES_A_TOKEN = 4.0


class Way(NamedTuple):
    """There and back through one layout."""

    out_seconds: float
    back_seconds: float
    same_bits: bool
    difference: float | None = None  # largest, of what transformers computes; None where it computes nothing


def random_model(job: str, config: SpeechT5Config) -> SpeechT5Model:
    """No bias is 0 and no norm is 1."""
    torch.manual_seed(0)
    symbols, heads = symbols_of(), JOBS[job].heads
    model = SpeechT5Model(
        config,
        JOBS[job],
        symbols=symbols,
        padding=symbols.index("<pad>"),
        units=UNITS if "units" in heads else 0,
        classes=SPEAKERS if "speaker" in heads else (),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def symbols_of() -> list[str]:
    """As many symbols as the released models have, which a sentencepiece model of `CHARACTERS` makes."""
    symbols = list(dictionary().symbols)
    return [*symbols[:4], "▁", *CHARACTERS, *symbols[-2:]]


def sentencepiece(path: Path) -> Path:
    """Write the model that makes the symbols."""
    made = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(["".join(CHARACTERS)] * 2),
        model_writer=made,
        model_type="char",
        vocab_size=VOCABULARY,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path.write_bytes(made.getvalue())
    return path


def write_checkpoint(model: SpeechT5Model, config: SpeechT5Config, job: str, path: Path) -> Path:
    """As fairseq-train leaves one; returns the file."""
    spm = sentencepiece(path.with_suffix(".spm"))
    units = [str(unit) for unit in range(UNITS)] if "units" in JOBS[job].heads else ()
    criterion = {"t2s": "speech", "s2s": "speech"}.get(job, job.removesuffix("_speech"))
    state = {
        "args": None,
        "cfg": {
            "model": {**vars(config), "_name": "speecht5"},
            "task": {"_name": f"speecht5_{job.removesuffix('_speech')}"},
            "criterion": {"_name": f"speecht5_{criterion}"},
        },
        "model": model.state_dict(),
        "optimizer_history": [{"num_updates": 1, "criterion_name": criterion, "optimizer_name": "none"}],
        "extra_state": {},
        "task_state": saved_contents(pieces=read_piece_model(spm), units=units),
        "last_optimizer_state": None,
    }
    torch.save(state, path)
    return path


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def there_and_back(source: Path, layout: str, job: str, folder: Path) -> Way:
    """Convert ``source`` to ``layout`` in ``folder`` and back."""
    out = folder / layout if layout == HUGGINGFACE else folder / layout / "model.pt"
    again = folder / f"from_{layout}" / "model.pt"
    seconds = timed(lambda: convert(source, out, layout, job=job))
    back = timed(lambda: convert(out, again, FAIRSEQ, job=job))
    return Way(seconds, back, same_bits(source, again))


def same_bits(one: Path, other: Path) -> bool:
    first, second = (torch.load(path, mmap=True, weights_only=True)["model"] for path in (one, other))
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and torch.equal(first[name], second[name]) for name in first
    )


@torch.no_grad()
def difference(model: SpeechT5Model, job: str, folder: Path) -> float:
    """Of the logits or the log-mel of ``transformers``' model in ``folder`` from ours, the largest."""
    theirs = their_model(job, folder)
    torch.manual_seed(1)
    waveform, tokens = torch.randn(1, 48_000), torch.randint(4, VOCABULARY - 2, (1, 20))
    speech = {"waveform": waveform, "sample_lengths": torch.tensor([48_000]), "seeds": torch.tensor([0])}
    if job == "s2t":
        ours = model(**speech, prev_output_tokens=tokens).text_logits
        return largest(ours - theirs(input_values=waveform, decoder_input_ids=tokens).logits)
    theirs.speecht5.decoder.prenet._consistent_dropout = lambda inputs, p: inputs  # which never goes off there
    source = {"source_tokens": tokens} if job == "t2s" else speech
    speaker = torch.nn.functional.normalize(torch.randn(1, 512))
    seconds_of_frames = {"threshold": 10.0, "minlenratio": 0.0, "maxlenratio": FRAMES_A_TOKEN}
    generate = theirs.generate if job == "t2s" else theirs.generate_speech
    mel = generate(next(iter(source.values())), speaker_embeddings=speaker, **seconds_of_frames)
    source.pop("seeds", None)
    limits = SpeechLimits(threshold=10.0, max_ratio=FRAMES_A_TOKEN)
    (found,) = generate_speech(model, model.encode(**source), speaker, limits=limits)
    return largest(found.mel - mel)


def their_model(job: str, folder: Path) -> torch.nn.Module:
    """Loaded whole: nothing is missing and nothing left."""
    import transformers

    cls = getattr(transformers, THEIR_CLASSES[job])
    model, report = cls.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    if any(report.values()):
        raise SystemExit(f"{cls.__name__}.from_pretrained does not load the folder whole: {report}")
    return model.eval()


def largest(values: Tensor) -> float:
    return values.abs().max().item()


def ways(job: str, size: str, folder: Path) -> dict[str, Way]:
    """Both layouts, or the published one alone where ``transformers`` has no such model."""
    config = SpeechT5Config(**SIZES[size])
    model = random_model(job, config)
    source = write_checkpoint(model, config, job, folder / "ours.pt")
    found = {RELEASED: there_and_back(source, RELEASED, job, folder)}
    if job in THEIR_CLASSES:
        way = there_and_back(source, HUGGINGFACE, job, folder)
        found[HUGGINGFACE] = way._replace(difference=difference(model, job, folder / HUGGINGFACE))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS), help="jobs to convert (default: all)")
    parser.add_argument("--size", choices=SIZES, default="base", help="of the models")
    options = parser.parse_args()
    print(machine())
    print(f"{'job':18}{'layout':12}{'out s':>8}{'back s':>8}{'bits':>8}{'difference':>13}")
    wrong = False
    for job in options.jobs:
        with tempfile.TemporaryDirectory() as folder:
            for layout, way in ways(job, options.size, Path(folder)).items():
                bits = "same" if way.same_bits else "OTHER"
                apart = "" if way.difference is None else f"{way.difference:.1e}"
                seconds = f"{way.out_seconds:8.1f}{way.back_seconds:8.1f}"
                print(f"{job:18}{layout:12}{seconds}{bits:>8}{apart:>13}", flush=True)
                wrong |= not way.same_bits or (way.difference or 0.0) > TOLERANCE
    sys.exit(int(wrong))


if __name__ == "__main__":
    main()
