"""Text encoded block by block into shards that outlive a stop, and the shards joined in fairseq's binary format.

The result is byte for byte what fairseq-preprocess writes. Only one block a process is in memory: fairseq's own joining
keeps a Python number for every sentence, 2 GB for 40 million.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from fairseq.data import Dictionary
from fairseq.data.indexed_dataset import MMapIndexedDataset, best_fitting_int_dtype
from tqdm import tqdm

from speecht5_fairseq.data.atomic import replacing
from speecht5_fairseq.data.errors import located
from speecht5_fairseq.data.piece_model import load_sentencepiece
from speecht5_fairseq.data.text_normalisation import Normaliser

from .blocks import Block
from .files import split_by_hash

SPLIT_SALT = "text-1"
SPLITS = ("train", "valid")


class Encoding(NamedTuple):
    """How every block is encoded."""

    spm_model: Path
    dictionary: Path
    normalise: Normaliser
    valid_fraction: float  # for blocks without a split of their own


class Task(NamedTuple):
    """One block to encode."""

    block: Block
    split: str | None  # None: each sentence's hash decides
    shard: Path


class Count(NamedTuple):
    """What a shard, or all shards, hold of one split."""

    sentences: int = 0
    tokens: int = 0  # </s> included
    unknown: int = 0


def encode_block(task: Task, encoding: Encoding) -> dict[str, Count]:
    """Write the shard of a block, unless it is there; returns split -> what it holds."""
    dictionary = Dictionary.load(str(encoding.dictionary))
    if not task.shard.is_file():
        arrays = _encode(task, encoding, dictionary)
        with replacing(task.shard) as temporary:
            np.savez(temporary, **arrays)
    counts = {}
    with np.load(task.shard) as shard:
        for split in SPLITS:
            tokens, unknown = shard[f"{split}_tokens"], dictionary.unk()
            counts[split] = Count(len(shard[f"{split}_sizes"]), len(tokens), int(np.count_nonzero(tokens == unknown)))
    return counts


def _encode(task: Task, encoding: Encoding, dictionary: Dictionary) -> dict[str, np.ndarray]:
    """The content of a shard: all tokens of a split in one array, and the sizes of its sentences, </s> included.

    Sentences that are empty are left out. `Dictionary.encode_line` gives the same indices, four times slower.
    Raises ValueError naming file and line of one that cannot be normalised.
    """
    processor = load_sentencepiece(encoding.spm_model)
    tokens, sizes = ({split: array("i") for split in SPLITS} for _ in range(2))
    index, unknown = dictionary.indices.get, dictionary.unk()
    for text in filter(None, _normalised(task.block, encoding.normalise)):
        split = task.split or split_by_hash(text, SPLIT_SALT, encoding.valid_fraction, 0.0)
        pieces = " ".join(processor.encode(text, out_type=str)).split()  # as fairseq splits a line of pieces
        tokens[split].extend(index(piece, unknown) for piece in pieces)
        tokens[split].append(dictionary.eos())
        sizes[split].append(len(pieces) + 1)
    dtype = best_fitting_int_dtype(len(dictionary))
    arrays = {f"{split}_tokens": np.array(tokens[split], dtype=dtype) for split in SPLITS}
    return arrays | {f"{split}_sizes": np.array(sizes[split], dtype=np.int32) for split in SPLITS}


def _normalised(block: Block, normalise: Normaliser) -> Iterator[str]:
    for index, line in enumerate(block.lines()):
        try:
            yield normalise(line)
        except ValueError as error:
            mend = "correct the line, or choose another --normalise"
            raise ValueError(located(block.path, block.line_number(index), str(error), mend)) from error


def join_shards(shards: Sequence[Path], split: str, sentences: int, out: Path, dictionary: Path) -> None:
    """Write out/SPLIT.bin and out/SPLIT.idx of the shards in their order; sentences: how many they hold."""
    dtype = best_fitting_int_dtype(len(Dictionary.load(str(dictionary))))
    with replacing(out / f"{split}.bin") as binary, replacing(out / f"{split}.idx") as index:
        with MMapIndexedDataset.Index.writer(str(index), dtype):
            pass  # fairseq writes the header; its `write` would make Python lists of everything
        with binary.open("wb") as tokens, index.open("ab") as table:
            table.write(struct.pack("<Q", sentences))
            for shard in tqdm(shards, desc=f"join {split}", unit="block"):
                with np.load(shard) as arrays:
                    tokens.write(arrays[f"{split}_tokens"].tobytes())
                    table.write(arrays[f"{split}_sizes"].tobytes())
            end = 0  # of the last sentence, in bytes
            for shard in shards:
                with np.load(shard) as arrays:
                    sizes = arrays[f"{split}_sizes"].astype(np.int64) * np.dtype(dtype).itemsize
                ends = end + np.cumsum(sizes)
                table.write((ends - sizes).tobytes())
                end = int(ends[-1]) if len(ends) else end
