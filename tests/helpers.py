"""Tiny data and tiny models: made-up audio with everything that a job's manifest needs, and random weights."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import sentencepiece
import soundfile
import torch
from fairseq.data import Dictionary, indexed_dataset
from omegaconf import DictConfig, OmegaConf

from speecht5_fairseq.constants import ENCODER_STRIDE, ENCODER_WINDOW, MEL_BINS, SAMPLE_RATE, SPEAKER_DIM
from speecht5_fairseq.data.dictionary import load_text_dictionary
from speecht5_fairseq.data.labels import UnitLabels
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest
from speecht5_fairseq.data.pretrain_speech import PretrainSpeechDataset
from speecht5_fairseq.data.pretrain_text import PretrainTextDataset, open_text_binary
from speecht5_fairseq.models import SpeechT5Config, SpeechT5Model
from speecht5_fairseq.models.base_checkpoint import Bases
from speecht5_fairseq.models.jobs import JOBS

SYMBOLS = "▁ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
UNITS = 20
CLASSES = ("anna", "ben", "carl du bois", "dora", "emil")
# Odd sizes find mixed-up dimensions; the relative distance is short, so that both ends are clipped; no dropout at all.
TINY_SIZES = {
    "embed_dim": 24,
    "ffn_dim": 40,
    "attention_heads": 3,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "relative_distance": 5,
    "conv_channels": 12,
    "feature_grad_mult": 1.0,
    "position_kernel": 8,
    "position_groups": 4,
    "mask_length": 3,
    "dropout": 0.0,
    "positional_dropout": 0.0,
    "attention_dropout": 0.0,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
    "speech_prenet_dim": 14,
    "speech_prenet_dropout": 0.0,
    "postnet_layers": 3,
    "postnet_channels": 10,
    "postnet_dropout": 0.0,
    "unit_dim": 9,
    "codebook_entries": 7,
}
LARGE_LAYOUT = {"pre_norm": True, "extractor_norm": "layer", "normalize_waveform": True}


def write_speech(folder: Path, n: int, *, samples: list[int] | None = None, rate: int = SAMPLE_RATE, seed: int = 0):
    """Write n noisy tones `folder/I.wav`; returns [(name, samples)]. Lengths: `samples`, else about half a second."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(n):
        length = samples[number] if samples else int(rng.integers(rate // 3, rate * 2 // 3))
        tone = 0.3 * np.sin(2 * np.pi * rng.uniform(100, 1000) * np.arange(length) / rate)
        wave = tone + 0.05 * rng.standard_normal(length)
        soundfile.write(folder / f"{number}.wav", wave, rate, subtype="PCM_16")
        rows.append((f"{number}.wav", length))
    return rows


def tiny_manifest(
    folder: Path, n: int = 4, *, job: str = "s2t", split: str = "train", samples: list[int] | None = None, seed: int = 0
) -> Path:
    """Write audio, labels, dictionaries and `folder/SPLIT.tsv` of a job; returns the manifest.

    Targets of "s2s" are the next rows' sources, and for enhancement the rows' own: `job="s2s-aligned"`. Classes of
    "s2c" come in turn.
    """
    rng = np.random.default_rng(seed + 1)
    audio = folder / f"audio_{split}"
    rows = write_speech(audio, n, samples=samples, seed=seed)
    if job in ("s2t", "t2s"):
        words = ["".join(rng.choice(list(SYMBOLS[1:]), size=rng.integers(2, 6))) for _ in rows]
        write_lines(folder / f"{split}.txt", [" ".join("▁" + word) for word in words])
        write_lines(folder / "dict.txt", [f"{symbol} 1" for symbol in SYMBOLS])
    elif job == "pretrain":
        units = [rng.integers(UNITS, size=(length - ENCODER_WINDOW) // ENCODER_STRIDE + 1) for _, length in rows]
        write_lines(folder / f"{split}.km", [" ".join(map(str, row)) for row in units])
        write_lines(folder / "dict.km.txt", [f"{unit} 1" for unit in range(UNITS)])
    elif job == "s2c":
        write_lines(folder / "dict.txt", [f"{name} 1" for name in CLASSES])
        rows = [(*row, CLASSES[number % len(CLASSES)]) for number, row in enumerate(rows)]
    if job not in ("s2t", "s2c"):
        for name, _ in rows:
            np.save(audio / f"{name}.npy", rng.standard_normal(SPEAKER_DIM).astype(np.float32))
    if job in ("pretrain", "t2s"):
        rows = [(name, length, f"{name}.npy") for name, length in rows]
    elif job.startswith("s2s"):
        targets = rows if job == "s2s-aligned" else [*rows[1:], rows[0]]
        rows = [(*source, *target, f"{target[0]}.npy") for source, target in zip(rows, targets, strict=True)]
    write_manifest(folder / f"{split}.tsv", audio, rows)
    return folder / f"{split}.tsv"


def tiny_text_binary(folder: Path, sentences: list[list[int]], *, split: str = "train") -> Path:
    """Write token indices as fairseq-preprocess does, each sentence with </s> after it; returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    builder = indexed_dataset.make_builder(str(folder / f"{split}.bin"), impl="mmap", vocab_size=len(SYMBOLS) + 4)
    for sentence in sentences:
        builder.add_item(torch.tensor([*sentence, Dictionary().eos()]))
    builder.finalize(str(folder / f"{split}.idx"))
    write_lines(folder / "dict.txt", [f"{symbol} 1" for symbol in SYMBOLS])
    return folder


def tiny_pretrain_speech(folder: Path, *, split: str = "train", crop_samples: int = 4000) -> PretrainSpeechDataset:
    """The speech of a `tiny_manifest(folder, job="pretrain")`."""
    manifest = Manifest.open(folder / f"{split}.tsv", JOB_COLUMNS["pretrain"])
    labels = UnitLabels.open(folder, split)
    return PretrainSpeechDataset(manifest, labels, crop_samples=crop_samples, seed=1, training=split == "train")


def random_sentences(count: int, low: int = 3, high: int = 12, seed: int = 0) -> list[list[int]]:
    """Sentences of `low` to `high` - 1 token indices, without </s>."""
    rng = np.random.default_rng(seed)
    return [rng.integers(4, 4 + len(SYMBOLS), size=rng.integers(low, high)).tolist() for _ in range(count)]


def tiny_pretrain_text(
    folder: Path, sentences: list[list[int]], *, training: bool = True, **options: object
) -> PretrainTextDataset:
    """A data set of `sentences`, written as a binary to `folder`; `options` as `PretrainTextDataset` takes them."""
    tiny_text_binary(folder, sentences)
    dictionary = load_text_dictionary(folder / "dict.txt")
    binary = open_text_binary(folder, "train", dictionary)
    return PretrainTextDataset(binary, dictionary, seed=1, training=training, **options)


def tiny_piece_model(path: Path, *texts: str, symbols: str = SYMBOLS, **options: object) -> Path:
    """Write a sentencepiece model; returns the file.

    Args:
        texts: learned from beside `symbols`.
        symbols: by default those of `tiny_dictionary`, which has them in another order.
        options: of SentencePieceTrainer; of themselves pieces are characters.
    """
    lines = [symbols[1:], *(symbols[start:] for start in range(2, len(symbols), 5)), *texts]
    settings = {"model_type": "char", "vocab_size": 1000, "hard_vocab_limit": False, "minloglevel": 2, "num_threads": 1}
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=file, **settings | options)
    return path


def write_lines(path: Path, lines: list[str]) -> Path:
    """Write text lines; returns the file."""
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def tiny_dictionary() -> Dictionary:
    """The text dictionary of `tiny_manifest`, with `<mask>` and `<ctc_blank>`."""
    dictionary = Dictionary()
    for symbol in (*SYMBOLS, "<mask>", "<ctc_blank>"):
        dictionary.add_symbol(symbol)
    return dictionary


def tiny_config(**options: object) -> SpeechT5Config:
    """`TINY_SIZES` with some options changed."""
    return SpeechT5Config(**{**TINY_SIZES, **options})


# Options that a task borrows from fairseq's other groups, as they are in a new run of one process.
ONE_PROCESS = {
    "cpu": True, "ddp_backend": "pytorch_ddp", "find_unused_parameters": False, "zero_sharding": "none",
    "num_shards": 1,
}  # fmt: skip
NEW_RUN = {
    "save_dir": "nowhere", "restore_file": "checkpoint_last.pt", "finetune_from_model": None, "path": None,
    **ONE_PROCESS,
}  # fmt: skip


def model_options(**options: object) -> DictConfig:
    """`tiny_config` as fairseq hands it to a task."""
    return OmegaConf.structured(tiny_config(**{"_name": "speecht5", **options}))


def tiny_model(job: str, *, seed: int = 0, **options: object) -> SpeechT5Model:
    """A model of a job with random weights everywhere: no bias is 0, no norm is 1, all far from BERT's small start."""
    torch.manual_seed(seed)
    dictionary = tiny_dictionary()
    heads = {
        "units": UNITS if "units" in JOBS[job].heads else 0,
        "classes": CLASSES if "speaker" in JOBS[job].heads else (),
    }
    model = SpeechT5Model(
        tiny_config(**options), JOBS[job], symbols=list(dictionary.symbols), padding=dictionary.pad(), **heads
    )
    return scramble(model)


def tiny_base(path: Path, job: str = "pretrain", *, seed: int = 1, **options: object) -> Path:
    """Write a checkpoint with the weights of a `tiny_model`; returns the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": tiny_model(job, seed=seed, **options).state_dict()}, path)
    return path


def model_over(
    base: Path | str, job: str = "s2t", *, bases: Bases | None = None, seed: int = 0, **options: object
) -> SpeechT5Model:
    """A model over a base checkpoint, with random weights in what is trained, like `tiny_model` otherwise."""
    torch.manual_seed(seed)
    dictionary = tiny_dictionary()
    model = SpeechT5Model(
        tiny_config(base_checkpoint=str(base), **options),
        JOBS[job],
        symbols=list(dictionary.symbols),
        padding=dictionary.pad(),
        units=UNITS if "units" in JOBS[job].heads else 0,
        classes=CLASSES if "speaker" in JOBS[job].heads else (),
        base=(bases or Bases()).read(str(base)),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def scramble(model: torch.nn.Module, scale: float = 0.1) -> torch.nn.Module:
    """Add noise to every parameter and to BatchNorm's statistics; the padding embedding stays zero."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.normal_(std=scale)
                module.running_var.uniform_(0.5, 2.0)
            elif isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0.0
    return model


def speech_source(*samples: int, seed: int = 0, garbage: float = 0.0) -> dict[str, torch.Tensor]:
    """Noise of so many samples an utterance, as `encode` and `forward` take it; `garbage` fills the padding."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor(samples)
    waveform = torch.full((len(samples), max(samples)), garbage)
    for row, length in zip(waveform, samples, strict=True):
        row[:length] = 0.1 * torch.randn(length, generator=generator) + 0.05
    return {"waveform": waveform, "sample_lengths": lengths, "seeds": 1000 + torch.arange(len(samples))}


def text_tokens(*lengths: int, seed: int = 0, start: int | None = None) -> torch.Tensor:
    """(B, L) random pieces, right padded; `start` replaces the first token of each row."""
    dictionary, generator = tiny_dictionary(), torch.Generator().manual_seed(seed)
    tokens = torch.full((len(lengths), max(lengths)), dictionary.pad())
    for row, length in zip(tokens, lengths, strict=True):
        row[:length] = torch.randint(dictionary.nspecial, len(dictionary) - 2, (length,), generator=generator)
        if start is not None:
            row[0] = start
    return tokens


def mel_target(*frames: int, seed: int = 0, garbage: float = 0.0) -> dict[str, torch.Tensor]:
    """Random log-mel targets of so many frames, with speaker vectors, as `forward` takes them."""
    generator = torch.Generator().manual_seed(seed)
    mel = torch.full((len(frames), max(frames), MEL_BINS), garbage)
    for row, length in zip(mel, frames, strict=True):
        row[:length] = torch.randn(length, MEL_BINS, generator=generator) - 2
    speaker = torch.randn(len(frames), SPEAKER_DIM, generator=generator)
    return {"target_frames": mel, "frame_lengths": torch.tensor(frames), "speaker": speaker}


def alone(batch: dict[str, torch.Tensor], row: int) -> dict[str, torch.Tensor]:
    """One utterance of a batch of net inputs, without its padding."""
    lengths = {
        "waveform": "sample_lengths",
        "target_frames": "frame_lengths",
    }
    single = {key: value[row : row + 1] for key, value in batch.items()}
    for name, length in lengths.items():
        if name in single:
            single[name] = single[name][:, : int(batch[length][row])]
    for name in ("source_tokens", "prev_output_tokens"):
        if name in single:
            single[name] = single[name][:, : int((single[name] != tiny_dictionary().pad()).sum())]
    return single


@contextmanager
def locked_elsewhere(path: Path) -> Iterator[bool]:
    """Another process that holds a file's lock; whether it could take it."""
    lines = ["import fcntl, sys", "file = open(sys.argv[1], 'ab')", "fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)"]
    command = [sys.executable, "-c", "\n".join([*lines, "print('held', flush=True)", "sys.stdin.read()"]), str(path)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            yield process.stdout.readline() == "held\n"
        finally:
            process.communicate()


def shout(text: str) -> str:
    """A normaliser for tests, as users name theirs: `helpers:shout`."""
    return text.replace("3", "three").upper()


def moody(text: str) -> str:
    """A normaliser that fails in a way of its own."""
    if text == "broken":
        raise KeyError(text)
    return text.upper()
