"""What a checkpoint is, what it holds, and the command line that uses it.

    python -m speecht5_fairseq.inspect checkpoints/asr/checkpoint_best.pt
    python -m speecht5_fairseq.inspect checkpoint.pt --json
    python -m speecht5_fairseq.inspect checkpoint.pt --extract folder   # dict.txt, spm.model, dict.km.txt
    python -m speecht5_fairseq.inspect checkpoint.pt --card README.md   # a model card to finish by hand

Reads checkpoints of fairseq-train with this user dir, of additions to a base, and of the published code. No model is
built and no tensor is loaded. What is extracted serves a language model or a training from the checkpoint; decoding
reads it from the checkpoint by itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .data.atomic import atomic_text
from .data.piece_model import load_sentencepiece
from .models.card import model_card
from .models.contents import Contents, extract, symbols_of_file
from .models.facts import Facts, read_facts
from .models.jobs import JOBS
from .models.uses import TITLES, flags, missing_files, uses_of

SHOWN = 12  # symbols and names that are printed
ROW = "{:<16}{}"


def report(facts: Facts) -> str:
    """The facts as a page of text."""
    title, task = TITLES[facts.job]
    lines = [f"{facts.path}: {title} ({task}), {facts.bytes / 1e6:.1f} MB", ""]
    lines += [ROW.format(name, text) for name, text in _rows(facts) if text]
    lines += ["", *_parameter_table(facts)]
    for use in uses_of(facts):
        lines += ["", f"It can {use.what}; needs {use.needs}:", f"  {use.command}"]
    return "\n".join(lines)


def _rows(facts: Facts) -> Iterator[tuple[str, str]]:
    contents, training = facts.contents, facts.training
    yield "written by", _origin(facts)
    yield "trained", _training(facts)
    yield "size", _size(facts)
    yield "options", " ".join(flags(facts.changed)) and f"not the preset's: {' '.join(flags(facts.changed))}"
    yield "symbols", _symbols(contents) or ("not inside: give dict.txt" if JOBS[facts.job].has_text else "")
    yield "sentencepiece", _pieces(facts)
    if facts.units:
        inside = "with their dictionary" if contents.units else "without their dictionary (dict.km.txt)"
        source = f"; of k-means {contents.unit_model} on {contents.unit_features}" if contents.unit_model else ""
        yield "units", f"{facts.units}, {inside}{source}"
    if facts.classes:
        yield "classes", f"{facts.classes}: {_first(contents.classes) or 'names not inside: give dict.txt'}"
    yield "signal", ", ".join(f"{name} {value}" for name, value in contents.signal.items())
    yield "optimizer", "its state is inside: the run can go on" if training.optimizer else "no state inside"


def _origin(facts: Facts) -> str:
    origin, parts = facts.origin, [facts.origin.writer]
    if origin.base is not None:
        parts.append(f"additions to the base {origin.base.path} (digest {origin.base.digest[:12]})")
    if origin.averaged:
        parts.append(f"the mean of {', '.join(origin.averaged)}")
    if origin.finetuned_from:
        parts.append(f"from {origin.finetuned_from}")
    return "; ".join(parts)


def _training(facts: Facts) -> str:
    training = facts.training
    parts = [f"{training.updates:,} updates"]
    if training.epoch is not None:
        parts.append(f"epoch {training.epoch}")
    if training.best is not None:
        parts.append(f"best {training.metric} {training.best:g}")
    return ", ".join(parts)


def _size(facts: Facts) -> str:
    options = facts.options
    if not options.keys() >= {"encoder_layers", "decoder_layers", "embed_dim", "attention_heads"}:
        return "not told"
    layers = f"{options['encoder_layers']} + {options['decoder_layers']} layers"
    return f"{facts.preset}: {layers}, width {options['embed_dim']}, {options['attention_heads']} heads"


def _symbols(contents: Contents) -> str:
    if not contents.symbols:
        return ""
    own = symbols_of_file(contents)
    special = [symbol for symbol in contents.symbols if symbol not in own]
    return f"{len(contents.symbols)}: {_first(own)}; special: {' '.join(special)}"


def _pieces(facts: Facts) -> str:
    pieces = facts.contents.pieces
    if pieces is None:
        return "not inside: give --spm-model" if "spm.model" in missing_files(facts) else ""
    count = load_sentencepiece(pieces).get_piece_size()
    size = f"{len(pieces.content):,} bytes, digest {pieces.digest}"
    return f"inside: {count} pieces, {size}; was {facts.contents.piece_file}"


def _first(names: Sequence[str]) -> str:
    return " ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")


def _parameter_table(facts: Facts) -> list[str]:
    total, size = sum(part.parameters for part in facts.parts), sum(part.bytes for part in facts.parts)
    row = "{:<24}{:>14}{:>8}{:>10}"
    lines = [row.format("part", "parameters", "share", "MB")]
    for part in facts.parts:
        share = f"{100 * part.parameters / total:.1f}%"
        lines.append(row.format(part.net, f"{part.parameters:,}", share, f"{part.bytes / 1e6:.1f}"))
    lines.append(row.format("all", f"{total:,}", "100.0%", f"{size / 1e6:.1f}"))
    if facts.origin.base is not None:
        lines.append("(additions and what was trained with them; the rest is in the base)")
    return lines


def as_json(facts: Facts) -> dict[str, Any]:
    """The facts for machines; what JSON does not have is written as text."""
    contents, pieces = facts.contents, facts.contents.pieces
    inside = pieces and {"file": contents.piece_file, "bytes": len(pieces.content), "digest": pieces.digest}
    base = facts.origin.base
    return {
        **facts._asdict(),
        "path": str(facts.path),
        "origin": {**facts.origin._asdict(), "base": base and base._asdict()},
        "training": facts.training._asdict(),
        "contents": {**contents._asdict(), "path": str(contents.path), "pieces": inside},
        "parts": [part._asdict() for part in facts.parts],
        "parameters": sum(part.parameters for part in facts.parts),
        "uses": [use._asdict() for use in uses_of(facts)],
    }


def write_card(facts: Facts, file: Path) -> None:
    """Write the model card.

    Raises:
        ValueError: the file is there, perhaps finished by hand.
    """
    if file.exists():
        raise ValueError(f"--card {file} is there, perhaps filled in by hand: name a new file")
    with atomic_text(file) as text:
        text.write(model_card(facts))
    print(f"wrote {file}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line; print, or extract."""
    parser = argparse.ArgumentParser(
        prog="python -m speecht5_fairseq.inspect",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="a checkpoint file")
    parser.add_argument("--json", action="store_true", help="print the facts for machines")
    parser.add_argument(
        "--extract",
        type=Path,
        metavar="FOLDER",
        help="write the dictionaries and the sentencepiece model that it holds",
    )
    parser.add_argument(
        "--card",
        type=Path,
        metavar="FILE",
        help="write a model card, Markdown with lines to fill in",
    )
    options = parser.parse_args(argv)
    facts = read_facts(options.checkpoint)
    if options.card is not None:
        write_card(facts, options.card)
    told = json.dumps(as_json(facts), ensure_ascii=False, indent=1, default=str) if options.json else report(facts)
    print(told)
    for file in extract(facts.contents, options.extract) if options.extract is not None else ():
        print(f"wrote {file}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
