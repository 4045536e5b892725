"""From any layout of a checkpoint to any other: which one a path is in, and the conversion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..data.piece_model import PieceModel, load_sentencepiece, read_piece_model
from ..generation.hifigan_checkpoint import ORIGINAL_CONFIG, load_hifigan
from ..models.checkpoint import read_file, read_state
from ..models.contents import without_special
from ..models.errors import listed
from ..models.released_format import is_released
from .fairseq_file import companions, from_fairseq, write_fairseq
from .hifigan import export_huggingface, export_original
from .huggingface_files import CONFIG, read_settings
from .huggingface_folder import read_folder, taken_home, write_folder
from .pieces import check_pieces, pieces_of, unknown_pieces
from .portable import Portable, with_dictionary
from .released import from_released_file, write_released

HUGGINGFACE, FAIRSEQ, RELEASED = "hf", "fairseq", "released"
LAYOUTS = {
    HUGGINGFACE: "the folder of transformers",
    FAIRSEQ: "the checkpoint file of this code",
    RELEASED: "the checkpoint file of the published code",
}
VOCODER_TYPE = "speecht5_hifigan"
_VOCODER_SUFFIXES = (".pkl", ".pth")


def convert(
    source: Path,
    out: Path,
    to: str,
    *,
    job: str | None = None,
    dictionary: Path | None = None,
    spm_model: Path | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write the checkpoint ``source`` to ``out`` in another layout.

    Args:
        source: a file or folder in any layout; also that of a HiFi-GAN, for which "released" means the original's.
        to: a key of ``LAYOUTS``.
        job: what the checkpoint is for, where it does not tell or holds the nets of several jobs.
        dictionary: its dict.txt, where it does not hold the symbols.
        spm_model: the sentencepiece model that makes them.
        overwrite: replace what is at ``out``.

    Returns:
        what is to be told of the conversion, a line each.

    Raises:
        ValueError: it is in that layout already, ``out`` is there, or an option has no effect. CheckpointError: it
            cannot be read, is not whole, or the other layout cannot hold it.
        OSError: there is no such file.
    """
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder; correct the path")
    if is_vocoder(source):
        given = {"--job": job, "--dict": dictionary, "--spm-model": spm_model}
        idle = [option for option, value in given.items() if value is not None]
        if idle:
            raise ValueError(f"{', '.join(idle)}: {source} is a vocoder, which has none; leave it out")
        return _convert_vocoder(source, out, to, overwrite=overwrite)
    layout, state = _layout_of(source)
    if layout == to:
        raise ValueError(f"{source}: is {LAYOUTS[to]} already; copy it, or give another --to")
    model = _read(source, layout, state, job, dictionary)
    if spm_model is not None:
        model = _with_sentencepiece(model, spm_model, to)
    model = model.noting(*_lacking(model))
    _check_out(source, out, to, model, overwrite=overwrite)
    if to == HUGGINGFACE:
        return list(write_folder(model, out).notes)
    if to == RELEASED:
        return list(write_released(model, out).notes)
    write_fairseq(model, out)
    return list(model.notes)


def _layout_of(source: Path) -> tuple[str, dict[str, Any]]:
    """The layout, and what a file holds."""
    if source.is_dir():
        return HUGGINGFACE, {}
    if source.suffix in (".safetensors", ".bin", ".json"):
        raise ValueError(f"{source}: a file of a folder; give the folder ({source.parent})")
    state = read_state(source)
    return (RELEASED if is_released(state["model"]) else FAIRSEQ), state


def _read(source: Path, layout: str, state: dict[str, Any], job: str | None, dictionary: Path | None) -> Portable:
    if layout == RELEASED:
        return from_released_file(state, source, job, dictionary)
    folder = layout == HUGGINGFACE
    model = taken_home(read_folder(source, job)) if folder else from_fairseq(state, source, job)
    return with_dictionary(model, dictionary)


def _with_sentencepiece(model: Portable, file: Path, to: str) -> Portable:
    """The model with the sentencepiece model that is given; another one than its own is told.

    Raises:
        ValueError: it would have no effect, or is no sentencepiece model. OSError: there is no such file.
        CheckpointError: it cannot make the dictionary's symbols.
    """
    if not model.has_text and to != HUGGINGFACE:
        raise ValueError(f"--spm-model {file}: the job {model.job} has no text; leave the option out")
    if not file.is_file():
        raise FileNotFoundError(f"--spm-model {file}: no such file; correct the path")
    given = read_piece_model(file)
    load_sentencepiece(given)  # refuses what is none
    pieces = pieces_of(given.content, str(file))
    if model.symbols:
        own = without_special(model.symbols)
        check_pieces(pieces, own, str(file))
        unknown = unknown_pieces(pieces, own)
        if unknown:
            model = model.noting(f"{file} makes pieces that the dictionary lacks, read as <unk>: {listed(unknown)}")
    if model.sentencepiece not in (None, given.content):
        own_model = PieceModel(model.path, model.sentencepiece)
        model = model.noting(
            f"the sentencepiece model is {given}, in place of that of the training, digest {own_model.digest}: a text "
            "may be cut into other pieces"
        )
    return model._replace(sentencepiece=given.content)


def _lacking(model: Portable) -> list[str]:
    """What the job needs and nothing of the source holds."""
    lines = []
    if model.has_text and not model.symbols:
        lines.append("no symbols: give --dict dict.txt")
    if model.job == "s2c" and not model.classes:
        lines.append("no names of classes: give --dict dict.txt")
    if model.has_text and model.cuts_text and model.sentencepiece is None:
        lines.append("no sentencepiece model, which cuts the texts: give --spm-model spm.model")
    return lines


def _check_out(source: Path, out: Path, to: str, model: Portable, *, overwrite: bool) -> None:
    """Hold that nothing is replaced that was not to be.

    Raises:
        ValueError: ``out`` is the source, of the other kind, or there already.
    """
    if out.resolve() == source.resolve():
        raise ValueError(f"{out}: is what is to be converted; give another OUT")
    folder = to == HUGGINGFACE
    if out.exists() and out.is_dir() != folder:
        raise ValueError(
            f"{out}: is a {'file' if folder else 'folder'}, but {LAYOUTS[to]} is written; give another OUT"
        )
    if overwrite:
        return
    there = [out] if out.exists() and not (folder and not any(out.iterdir())) else []
    if not folder:
        beside = {out.with_name(name): content for name, content in companions(model).items()}
        there += [file for file, content in beside.items() if file.is_file() and file.read_bytes() != content]
    if there:
        raise ValueError(
            f"{', '.join(map(str, there))}: there already, with other content; give another OUT, or --overwrite"
        )


def is_vocoder(source: Path) -> bool:
    """Whether a path is that of a HiFi-GAN, in either layout.

    Raises:
        CheckpointError: a folder that is neither a vocoder's nor one of `transformers`.
    """
    if source.is_dir():
        if (source / CONFIG).is_file() or not (source / ORIGINAL_CONFIG).is_file():
            return read_settings(source).get("model_type") == VOCODER_TYPE
        return True
    if source.suffix in _VOCODER_SUFFIXES:
        return True
    if source.suffix == ".pt" and source.with_name(ORIGINAL_CONFIG).is_file():
        found = read_file(source)
        model = found.get("model") if isinstance(found, dict) else None
        return isinstance(model, dict) and "generator" in model
    return False


def _convert_vocoder(source: Path, out: Path, to: str, *, overwrite: bool) -> list[str]:
    """Write a HiFi-GAN in its other layout; a vocoder that is at ``out`` goes, whichever its layout.

    Raises:
        ValueError: it is in that layout already, there is no such layout, ``out`` is there, or holds a checkpoint
            besides. VocoderError: it is not readable.
    """
    theirs = source.is_dir() and (source / CONFIG).is_file()
    if to == FAIRSEQ:
        raise ValueError(
            f"{source}: a HiFi-GAN has the layouts hf and released (the original's); give one of these as --to"
        )
    if theirs == (to == HUGGINGFACE):
        raise ValueError(f"{source}: is in that layout already; copy it, or give another --to")
    if out.resolve() in (source.resolve(), source.resolve().parent):
        raise ValueError(f"{out}: is where the vocoder is that is to be converted; give another OUT")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is a file, but the folder of a vocoder is written; give another OUT")
    if out.exists() and any(out.iterdir()) and not overwrite:
        raise ValueError(f"{out}: there already; give another OUT, or --overwrite")
    generator = load_hifigan(source)
    (export_huggingface if to == HUGGINGFACE else export_original)(generator, out)
    return ["SpeechT5HifiGan" if to == HUGGINGFACE else "a HiFi-GAN in its original layout, ParallelWaveGAN's"]
