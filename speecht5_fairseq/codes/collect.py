"""The codes and encoder states of paired speech and text.

Every utterance and text is encoded by itself, without masks and without noise: its codes do not depend on the others.

Shapes: S samples, T encoder frames, L letters (pieces) of a text, G groups, D model width.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..data.errors import ManifestError, located
from ..data.labels import TextLabels
from ..data.manifest import JOB_COLUMNS, Manifest
from ..data.row_checks import named_counts
from ..data.s2t import S2TDataset
from ..interface.loading import Loaded, load
from ..models.errors import CheckpointError

logger = logging.getLogger(__name__)


class Side(NamedTuple):
    """One modality of an utterance.

    Attributes:
        codes: int64 (T, G), or (L, G) of text.
        mean_vector, mean_state: (D,) float32, over all positions, of the codes' vectors and of the encoder's states.
        states: (T, D) or (L, D) float32; None where they are not kept.
    """

    codes: np.ndarray
    mean_vector: np.ndarray
    mean_state: np.ndarray
    states: np.ndarray | None


class Pair(NamedTuple):
    """An utterance: its row in the manifest, from 0, its letters int64 (L,) as symbols of the dictionary, its sides."""

    row: int
    letters: np.ndarray
    speech: Side
    text: Side


def load_quantizing(path: str | Path, *, device: torch.device, dictionary: str | Path | None) -> Loaded:
    """A pre-trained model that hears, reads and quantizes.

    Raises:
        CheckpointError: see `interface.loading.load`; or it does not do all three.
    """
    loaded = load(path, device=device, dictionary=dictionary, spm_model=None, base_checkpoint=None)
    job, mend = loaded.source.job, "give a checkpoint of joint pre-training (--task speecht5_pretrain with --text-data)"
    if job == "pretrain_speech":
        raise CheckpointError(f"{path}: was pre-trained on speech alone, and has no codes of text; {mend}")
    if job != "pretrain":
        raise CheckpointError(f"{path}: a model of {job} has no quantizer, and so no codes; {mend}")
    if loaded.model.quantizer is None:
        raise CheckpointError(
            f"{path}: has no quantizer (trained with --codebook-prob 0), and so no codes; {mend} and one"
        )
    return loaded


def open_split(
    manifest: Path, label_dir: Path, loaded: Loaded, *, spm_model: Path | None, audio_root: Path | None
) -> S2TDataset:
    """Speech and transcripts as recognition has them, with the symbols of the checkpoint.

    Args:
        manifest: FOLDER/SPLIT.tsv.
        spm_model: of transcripts that are raw text; None for those that are pieces.
        audio_root: of the audio, if it was moved.

    Raises:
        ManifestError: no rows, no transcripts, or one of unknown symbols alone; an utterance under one encoder frame.
    """
    rows = Manifest.open(manifest, JOB_COLUMNS["s2t"], root=audio_root)
    labels = TextLabels.open(label_dir, manifest.stem, loaded.dictionary, spm_model)
    dataset = S2TDataset(rows, labels, loaded.dictionary, seed=0, training=False)
    unknown: Counter[str] = Counter()
    for row in range(len(dataset)):
        pieces = labels.pieces(row)
        others = labels.unknown(pieces)
        if pieces and len(others) == len(pieces):
            mend = "give the sentencepiece model of the training (--spm-model)" if spm_model is None else "take another"
            problem = f"the dictionary of {loaded.source.path} has none of its symbols ({' '.join(pieces)[:80]!r})"
            raise ManifestError(located(labels.lines.path, labels.lines.line_number(row), problem, mend))
        unknown.update(others)
    if unknown:
        logger.warning("%s: symbols that the checkpoint does not know: %s", labels.lines.path, named_counts(unknown))
    return dataset


@torch.no_grad()
def collect(loaded: Loaded, dataset: S2TDataset, *, device: torch.device, keep: Collection[int]) -> list[Pair]:
    """Encode and quantize every row; states are kept of the rows ``keep``.

    The quantizer takes the most probable code, as in evaluation. The states of <s> and </s>, between which the text
    encoder is given the letters as in pre-training, are left out: speech has none.

    Raises:
        ManifestError: a recording cannot be read, or a text is empty; with its line.
    """
    pairs = []
    start = torch.tensor([loaded.dictionary.bos()])
    for row in dataset.kept.tolist():
        item = dataset[row]
        tokens = torch.cat([start, item.target])  # <s> letters </s>
        wave = item.waveform[None].to(device)
        samples = torch.tensor([wave.size(1)], device=device)
        heard = loaded.model.encode(waveform=wave, sample_lengths=samples).states[0]
        read = loaded.model.encode(source_tokens=tokens[None].to(device)).states[0, 1:-1]
        sides = [_side(loaded, states, row in keep) for states in (heard, read)]
        pairs.append(Pair(row, item.target[:-1].numpy(), *sides))
    return pairs


def _side(loaded: Loaded, states: Tensor, keep: bool) -> Side:
    """Of encoder states (T, D)."""
    codes = loaded.model.quantizer.codes(states)
    vectors = loaded.model.quantizer.vectors(codes)
    return Side(
        codes=codes.cpu().numpy(),
        mean_vector=vectors.float().mean(0).cpu().numpy(),
        mean_state=states.float().mean(0).cpu().numpy(),
        states=states.float().cpu().numpy() if keep else None,
    )


def modality_mean(sides: Sequence[Side]) -> np.ndarray:
    """The mean state of all positions of all utterances: (D,)."""
    weights = np.array([len(side.codes) for side in sides], dtype=np.float64)
    return np.average([side.mean_state for side in sides], axis=0, weights=weights)


def centred_states(sides: Sequence[Side]) -> list[np.ndarray]:
    """The kept states of one modality, (T, D) of each utterance, less ``modality_mean``."""
    mean = modality_mean(sides)
    return [side.states - mean for side in sides]
