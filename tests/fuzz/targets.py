"""What is fuzzed: how an input of each kind is made, and what of ours reads it."""

from __future__ import annotations

import io
import json
import os
import random
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from checkpoints import tiny_checkpoint
from fuzz.hostile_pickles import absurd_tensor, absurd_value, archived, calling, claims, intruder_path, program, tower
from fuzz.mutation import mutated, mutated_member
from helpers import SYMBOLS, tiny_dictionary, tiny_manifest, tiny_piece_model

from manifest_tools.unit_files import read_json
from speecht5_fairseq.data.archives import file_state
from speecht5_fairseq.data.audio import audio_info, read_audio
from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.dictionary import load_class_dictionary, load_text_dictionary, load_unit_dictionary
from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.data.labels import TextLabels, UnitLabels
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, TextLines
from speecht5_fairseq.data.piece_model import load_sentencepiece
from speecht5_fairseq.data.speaker import read_speaker
from speecht5_fairseq.data.unit_record import read_record
from speecht5_fairseq.models.calls import check_no_calls
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.facts import read_facts

ROWS = 20  # of an opened manifest that are looked at
_SAMPLES = 1200
_RIFF = (b"RIFF", b"data", b"fmt ", b"fact")
_PATHS = (b"../x.wav", b"/etc/passwd", b"/dev/zero", b"a.tar:../x", b"..", b"0.wav", b"a/../0.wav", b"pipe", b".", b"/")


class Target(NamedTuple):
    """One kind of input.

    Attributes:
        share: of all inputs.
        make: an input, by the generator that is given; the folder may be named in it.
        read: ours on the input's bytes, in an empty folder of its own kind; raises one of `refusals` for a bad one.
        refusals: the errors that are an answer.
    """

    share: float
    make: Callable[[random.Random, Path], bytes]
    read: Callable[[bytes, Path], None]
    refusals: tuple[type[Exception], ...] = (DataError,)


class NotRefused(AssertionError):
    """Something was answered that had to be refused."""


def _written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@cache
def _seed_folder(folder: Path) -> Path:
    """Good files of all kinds, made once in a process."""
    seeds = folder / "seeds"
    for job in ("s2t", "pretrain", "s2s"):
        tiny_manifest(seeds / job, 3, job=job, samples=[_SAMPLES] * 3)
    wave = 0.3 * np.sin(np.arange(_SAMPLES) * 0.2)
    for name in ("a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.au", "a.w64", "a.caf"):
        soundfile.write(seeds / name, wave, 16000)
    soundfile.write(seeds / "float.wav", np.stack([wave, wave], 1), 44100, subtype="FLOAT")
    np.save(seeds / "a.npy", np.ones(512, np.float32))
    tiny_piece_model(seeds / "spm.model")
    tiny_checkpoint(seeds / "checkpoint.pt", "s2t", spm_model=seeds / "spm.model", embed_dim=12, ffn_dim=12)
    return seeds


@cache
def _bytes_of(folder: Path, *names: str) -> list[bytes]:
    return [(_seed_folder(folder) / name).read_bytes() for name in names]


def _make_file(*names: str, words: Sequence[bytes] = ()) -> Callable[[random.Random, Path], bytes]:
    return lambda rng, folder: mutated(rng, _bytes_of(folder, *names), words)


def _make_manifest(rng: random.Random, folder: Path) -> bytes:
    names = ("s2t/train.tsv", "pretrain/train.tsv", "s2s/train.tsv")
    return mutated(rng, _bytes_of(folder, *names), (*_PATHS, b"\t", b"\n"))


def _read_manifest(data: bytes, folder: Path) -> None:
    """As a manifest of each job in turn; answered where one job can use all of it."""
    path, refusals = _written(folder, "train.tsv", data), []
    for columns in JOB_COLUMNS.values():
        try:
            manifest = Manifest.open(path, columns)
            for index in range(min(len(manifest), ROWS)):
                manifest.row(index), manifest.files(index)
                for name, _ in columns.audio:
                    _check_below(manifest, manifest.path(index, name))
        except DataError as error:
            refusals.append(error)
    if len(refusals) == len(JOB_COLUMNS):
        raise refusals[0]


def _check_below(manifest: Manifest, path: Path) -> None:
    below = os.path.normpath(path)
    if not below.startswith(os.path.normpath(manifest.root).rstrip("/") + "/") and below != str(manifest.root):
        raise NotRefused(f"{path} is outside {manifest.root}")


def _make_split(rng: random.Random, folder: Path) -> bytes:
    """A manifest with its units, apart by a byte that text cannot hold."""
    manifest, units = _bytes_of(folder, "pretrain/train.tsv", "pretrain/train.km")
    if rng.random() < 0.6:
        manifest = mutated(rng, [manifest], (*_PATHS, b"\t", b"\n"))
    else:
        units = mutated(rng, [units], (b" ", b"\n"))
    return manifest.replace(b"\xf5", b"") + b"\xf5" + units


def _read_split(data: bytes, folder: Path) -> None:
    rows, units = data.split(b"\xf5", 1)
    (folder / "train.tsv.verified").unlink(missing_ok=True)
    path = _written(folder, "train.tsv", rows)
    _written(folder, "train.km", units)
    _written(folder, "dict.km.txt", _bytes_of(folder, "pretrain/dict.km.txt")[0])
    manifest = Manifest.open(path, JOB_COLUMNS["pretrain"])
    verify(manifest, units=UnitLabels.open(folder, "train"), progress=False).raise_problems()


def _make_dictionary(rng: random.Random, folder: Path) -> bytes:
    words = (b" 1\n", b" #fairseq:overwrite", b"<mask> 1\n", b"<ctc_blank> 1\n", b"<s> 1\n", b"99999999999 1\n", b" ")
    return mutated(rng, _bytes_of(folder, "s2t/dict.txt", "pretrain/dict.km.txt"), words)


def _read_dictionary(data: bytes, folder: Path) -> None:
    path, refused = _written(folder, "dict.txt", data), None
    for load in (load_text_dictionary, load_unit_dictionary, load_class_dictionary):
        try:
            load(path)
        except DataError as error:
            refused = error
    if refused is not None:
        raise refused


def _make_labels(rng: random.Random, folder: Path) -> bytes:
    return mutated(rng, _bytes_of(folder, "s2t/train.txt", "pretrain/train.km"), (b" ", b"\n", b"19", b"-", b"<s>"))


def _read_labels(data: bytes, folder: Path) -> None:
    path, refused = _written(folder, "train.km", data), None
    _written(folder, "dict.km.txt", _bytes_of(folder, "pretrain/dict.km.txt")[0])
    units, lines = UnitLabels.open(folder, "train"), TextLines(path)
    texts = [TextLabels(lines, tiny_dictionary(), spm) for spm in (None, _seed_folder(folder) / "spm.model")]
    for index in range(min(len(lines), ROWS)):
        for read in (units.classes, *(text.tokens for text in texts)):
            try:
                read(index)
            except DataError as error:
                refused = error
    if refused is not None:
        raise refused


def _reads_audio(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        path = _written(folder, name, data)
        info = audio_info(path)
        if info.samples > 10:
            read_audio(path, start=3, frames=5)
        read_audio(path)

    return read


def _read_speaker(data: bytes, folder: Path) -> None:
    vector = read_speaker(_written(folder, "v.npy", data))
    if vector.shape != (512,) or not np.isfinite(vector).all():
        raise NotRefused(f"a vector of {vector.shape}")


def _archive(rng: random.Random, folder: Path, kind: str) -> bytes:
    """A good archive, with members of all sorts."""
    made, wave, vector = io.BytesIO(), *_bytes_of(folder, "a.wav", "a.npy")
    if kind == "zip":
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr("a.wav", wave, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
            archive.writestr("v.npy", vector)
        return made.getvalue()
    with tarfile.open(fileobj=made, mode="w", format=rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))) as archive:
        for name, content in (("a.wav", wave), ("v.npy", vector), ("long/" * 40 + "name", b"x")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, type_ in (("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("device", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = type_, rng.choice(("a.wav", "../../etc/passwd", "/dev/zero", "hard"))
            archive.addfile(info)
    return made.getvalue()


def _makes_archive(kind: str) -> Callable[[random.Random, Path], bytes]:
    words = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"ustar", b"L", b"x", b"S", b"\x80\xff\xff", b"77777777777\0")
    return lambda rng, folder: mutated(rng, [_archive(rng, folder, kind)], words)


def _reads_archive(kind: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        path, refused = _written(folder, f"s.{kind}", data), None
        os.utime(path, ns=(0, next(_TIMES)))  # the index is known again by size and time
        for member in ("a.wav", "v.npy", "link", "hard"):
            try:
                file_state(f"{path}:{member}")
                (read_speaker if member == "v.npy" else read_audio)(f"{path}:{member}")
            except DataError as error:
                refused = refused or (error if member in ("a.wav", "v.npy") else None)
        if refused is not None:
            raise refused

    return read


_TIMES = iter(range(1, 1 << 40))


def _read_pieces(data: bytes, folder: Path) -> None:
    encoder = load_sentencepiece(_written(folder, "spm.model", data))
    for text in ("HELLO WORLD", "\0 ü 東京 \u200d", ""):
        encoder.encode(text, out_type=str)
    if encoder.get_piece_size():
        encoder.id_to_piece(encoder.get_piece_size() - 1)


def _make_damaged_checkpoint(rng: random.Random, folder: Path) -> bytes:
    seeds = _bytes_of(folder, "checkpoint.pt")
    if rng.random() < 0.4:
        return mutated(rng, seeds, (b"PK\x01\x02", b"PK\x05\x06"))
    return mutated_member(rng, seeds, (b"FloatStorage", b"cposix\nsystem\n", b"R", b"(", b"t", b"."), "data.pkl")


def _make_pickle(rng: random.Random, folder: Path) -> bytes:
    """A bare pickle, or one in torch's zip."""
    command = f"touch {intruder_path(folder)}"
    kind = rng.random()
    if kind < 0.1:
        return claims(rng)
    if kind < 0.2:
        made = calling(rng.choice(("posix\nsystem", "builtins\nexec", "os\nsystem")), command)
    elif kind < 0.3:
        made = b"\x80\x02" + tower(rng.choice((10, 1000, 20000)), rng.choice((1, 2))) + b"."
    else:
        made = program(rng, command)
    return archived(made, {"data/0": bytes(64)}) if rng.random() < 0.6 else made


def _make_state(rng: random.Random, folder: Path) -> bytes:
    """A good checkpoint with absurd values in some places, as torch.save writes it."""
    state = torch.load(io.BytesIO(_bytes_of(folder, "checkpoint.pt")[0]), weights_only=True)
    for _ in range(rng.choice((1, 1, 2, 4))):
        part = state
        while isinstance(part, dict) and part:
            name = rng.choice(list(part))
            if not isinstance(part[name], dict) or rng.random() < 0.2:
                break
            part = part[name]
        if isinstance(part, dict):
            name = name if part and rng.random() < 0.9 else rng.choice(("units", 7, "arch", "data", "new"))
            part[name] = absurd_tensor(rng) if part is state.get("model") else absurd_value(rng)
    made = io.BytesIO()
    try:
        torch.save(state, made, _use_new_zipfile_serialization=rng.random() < 0.8)
    except RecursionError:  # Python's own writer goes no deeper
        return b""
    return made.getvalue()


def _read_checkpoint(data: bytes, folder: Path) -> None:
    path = _written(folder, "checkpoint.pt", data)
    facts = read_facts(path)
    state = torch.load(path, weights_only=True, mmap=data.startswith(b"PK\x03\x04"))
    for tensor in state["model"].values():  # what is mapped is read: past the end of a file it would be a crash
        tensor.double().sum()
    check_no_calls(state, path)
    str(facts)


def _make_record(rng: random.Random, folder: Path) -> bytes:
    settings = {"features": "mfcc", "rate": 50, "clusters": 5}
    record = {"settings": settings, "model": "ab", "splits": {"train": {"rows": "x", "cluster_sizes": [1, 2]}}}
    words = (b"[" * 5000, b"{", b"}", b'"splits":', b"null", b"1e999", b"NaN")
    return mutated(rng, [json.dumps(record).encode()], words)


def _read_record(data: bytes, folder: Path) -> None:
    beside = folder / "units"  # away from the labels of other targets
    beside.mkdir(exist_ok=True)
    file, refused = _written(beside, "units.json", data), None
    for read in (partial(read_json, file), partial(read_record, beside)):
        try:
            read()
        except ValueError as error:
            refused = error
    if refused is not None:
        raise refused


TARGETS: dict[str, Target] = {
    "manifest": Target(20, _make_manifest, _read_manifest),
    "split": Target(3, _make_split, _read_split),
    "dictionary": Target(10, _make_dictionary, _read_dictionary),
    "labels": Target(8, _make_labels, _read_labels),
    "wav": Target(8, _make_file("a.wav", "float.wav", words=_RIFF), _reads_audio("a.wav")),
    "flac": Target(6, _make_file("a.flac"), _reads_audio("a.flac")),
    "ogg": Target(4, _make_file("a.ogg", words=(b"OggS", b"vorbis")), _reads_audio("a.ogg")),
    "mp3": Target(3, _make_file("a.mp3"), _reads_audio("a.mp3")),
    "other audio": Target(4, _make_file("a.aiff", "a.au", "a.w64", "a.caf"), _reads_audio("a.bin")),
    "speaker": Target(8, _make_file("a.npy", words=(b"'descr'", b"'|O'", b"(512,)", b"((((", b"'<f8'")), _read_speaker),
    "tar": Target(5, _makes_archive("tar"), _reads_archive("tar")),
    "zip": Target(5, _makes_archive("zip"), _reads_archive("zip")),
    "pieces": Target(3, _make_file("spm.model", words=(SYMBOLS.encode(),)), _read_pieces),
    "damaged checkpoint": Target(4, _make_damaged_checkpoint, _read_checkpoint, (CheckpointError, ValueError)),
    "pickle": Target(5, _make_pickle, _read_checkpoint, (CheckpointError,)),
    "checkpoint values": Target(2, _make_state, _read_checkpoint, (CheckpointError, ValueError)),
    "units.json": Target(2, _make_record, _read_record, (ValueError,)),
}


def input_of(target: str, seed: int, index: int, folder: Path) -> bytes:
    """Input number `index` of a target; the same for the same seed."""
    return TARGETS[target].make(random.Random(f"{seed} {target} {index}"), folder)


def outcome_of(target: str, data: bytes, folder: Path) -> str:
    """ "answered", or the class of the error that refused; any other error is raised, and what was not refused is one.

    `folder` must be a short-lived one: files are written there, and `intruded` there means that code was run.
    """
    try:
        TARGETS[target].read(data, folder)
        found = "answered"
    except TARGETS[target].refusals as error:
        if not str(error) or len(str(error)) > 100_000 or str(folder) not in str(error):
            raise NotRefused(f"the message says too little or too much: {str(error)[:300]!r}") from error
        found = type(error).__name__
    if intruder_path(folder).exists():
        intruder_path(folder).unlink()
        raise NotRefused("code in the input was run")
    return found
