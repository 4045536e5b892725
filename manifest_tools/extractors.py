"""What units are clustered from: MFCC, a layer of a speech model, or a function of the user's.

A speech model is loaded once in each process that works, whatever the backend: tasks carry its name, not its weights.

Shapes: S samples, T frames (50 a second, those of the speech encoder), D numbers a frame.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torchaudio
from torch.nn import functional

from speecht5_fairseq.constants import ENCODER_FRAME_RATE, ENCODER_STRIDE, ENCODER_WINDOW
from speecht5_fairseq.data.plugin import load_function
from speecht5_fairseq.data.pretrain_speech import encoder_frames
from speecht5_fairseq.interface.loading import found_device

from . import speech_models
from .features import mfcc
from .files import file_hash
from .speech_models import TORCHAUDIO, SpeechModel

MFCC = "mfcc"
TRANSFORMERS, TORCHAUDIO_HUBERT = "transformers-hubert", "torchaudio-hubert"
LOADERS: dict[str, Callable[[str, int], SpeechModel]] = {
    "speecht5": speech_models.load_speecht5,
    "fairseq-hubert": speech_models.load_fairseq_hubert,
    TRANSFORMERS: speech_models.load_transformers_hubert,
    TORCHAUDIO_HUBERT: speech_models.load_torchaudio_hubert,
}
PIECE_FRAMES = 5000  # frames that a model sees at a time (100 s), as HuBERT's own features
MORE_FRAMES, FEWER_FRAMES = 2, 1  # than the encoder's, at most; frames centred on samples 0, 320, ... are 1 or 2 more
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")  # of a folder of transformers
_CONFIGS = ("config.json", "preprocessor_config.json")


class Extractor(NamedTuple):
    """Features by name: small, as it goes to the workers.

    Attributes:
        kind: "mfcc", a key of `LOADERS`, or module:function.
        checkpoint: what a loader takes, a file or folder that is there.
        layer: of a speech model; see `speech_models` for how they are counted.
        hash: of the checkpoint's weights, or of the file of a user's function; empty where there is none.
        device: where a speech model runs.
    """

    kind: str = MFCC
    checkpoint: str = ""
    layer: int = 0
    hash: str = ""
    device: str = "cpu"

    @property
    def settings(self) -> dict[str, Any]:
        """What makes its features these and no others, for units.json."""
        if self.kind in LOADERS:
            return {"features": self.kind, "checkpoint": self.hash, "layer": self.layer}
        return {"features": self.kind, **({"source": self.hash} if self.hash else {})}

    @property
    def versions(self) -> dict[str, str]:
        """Of the packages that compute them."""
        packages = ["torch", "torchaudio", "scikit-learn", "numpy"]
        packages += ["transformers"] if self.kind == TRANSFORMERS else []
        return {package: version(package) for package in packages}


def find_extractor(
    kind: str = MFCC, *, checkpoint: str | Path | None = None, layer: int | None = None, device: str | None = None
) -> Extractor:
    """Check what names the features, fetch what is fetched, and load the model once, so that nothing fails later.

    Raises ValueError (a CheckpointError among them), OSError or ImportError that name the option and the mend.
    """
    if kind not in LOADERS:
        given = {"--checkpoint": checkpoint, "--layer": layer, "--device": device}
        unread = [f"{option} {value}" for option, value in given.items() if value is not None]
        if unread:
            raise ValueError(
                f"{', '.join(unread)}: no effect with --extractor {kind}; leave it out, or give one of "
                f"{', '.join(LOADERS)}"
            )
        return Extractor(kind) if kind == MFCC else Extractor(kind, hash=_source_hash(kind))
    if checkpoint is None:
        raise ValueError(f"--extractor {kind} needs --checkpoint: the model's file, folder or name")
    if layer is None:
        raise ValueError(
            f"--extractor {kind} needs --layer, from 0 (the first layer's input): HuBERT's recipe takes the 6th of the "
            "first iteration's 12, and for its large models the 9th of the second's"
        )
    named = found_checkpoint(kind, str(checkpoint))
    extractor = Extractor(kind, named, layer, _weights_hash(kind, named), str(found_device(device or "cpu")))
    loaded(extractor)
    return extractor


def _user_function(kind: str) -> Callable[[np.ndarray], Any]:
    if ":" not in kind:
        raise ValueError(
            f"--extractor {kind}: no such features; give {MFCC}, {', '.join(LOADERS)}, or a function as module:function"
        )
    return load_function(kind, "--extractor")


def _source_hash(kind: str) -> str:
    """Of the file of a user's function, not of what it imports; empty for one typed into a running Python."""
    _user_function(kind)
    file = getattr(sys.modules[kind.partition(":")[0]], "__file__", None)
    return file_hash(file) if file else ""


def found_checkpoint(kind: str, checkpoint: str) -> str:
    """What the loader of `kind` takes, with an absolute path; fetched where `checkpoint` is a published name.

    Raises ValueError, OSError or ImportError with the mend.
    """
    if kind == TRANSFORMERS:
        return os.path.abspath(checkpoint if Path(checkpoint).is_dir() else _fetched_folder(checkpoint))
    if kind == TORCHAUDIO_HUBERT:
        name, given, file = checkpoint.partition("=")
        if name not in TORCHAUDIO:
            raise ValueError(
                f"--checkpoint {checkpoint}: give one of {', '.join(TORCHAUDIO)}, or one with a file of its weights, "
                "HUBERT_BASE=hubert_fairseq_base_ls960.pth"
            )
        return f"{name}={os.path.abspath(file if given else _fetched_weights(name))}"
    return os.path.abspath(checkpoint)


def _fetched_folder(name: str) -> str:
    """The folder of a name on the Hugging Face hub, from its cache, else fetched (not where HF_HUB_OFFLINE is set)."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError("--extractor transformers-hubert needs transformers: pip install transformers") from error
    try:
        return snapshot_download(name, allow_patterns=[*_CONFIGS, "model*.safetensors*", "pytorch_model*.bin*"])
    except (OSError, ValueError) as error:
        raise OSError(
            f"--checkpoint {name}: no such folder, and it cannot be had from the Hugging Face hub "
            f"({str(error).splitlines()[0]}); fetch the model where there is a network, and give its folder"
        ) from error


def _fetched_weights(name: str) -> Path:
    """The file of weights that torchaudio keeps of a published model, fetched where it is not there yet."""
    bundle = getattr(torchaudio.pipelines, name)
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(bundle._path).name
    if not file.is_file():
        try:
            bundle.get_model(dl_kwargs={"weights_only": True})
        except OSError as error:
            raise OSError(
                f"--checkpoint {name}: cannot be fetched ({error}); fetch "
                f"https://download.pytorch.org/torchaudio/models/{bundle._path} where there is a network, and give "
                f"{name}={file.name}"
            ) from error
    return file


def _weights_hash(kind: str, named: str) -> str:
    """Of a file, or of the files of a folder that decide its features."""
    path = Path(named.partition("=")[2] if kind == TORCHAUDIO_HUBERT else named)
    if path.is_dir():
        files = sorted(file for pattern in (*_CONFIGS, *_WEIGHTS) for file in path.glob(pattern))
        return hashlib.sha256("".join(f"{file.name} {file_hash(file)}\n" for file in files).encode()).hexdigest()[:16]
    try:
        return file_hash(path)
    except OSError as error:
        raise ValueError(f"--checkpoint {named}: cannot be read ({error.strerror}); correct the path") from error


@lru_cache(maxsize=1)
def loaded(extractor: Extractor) -> Callable[[np.ndarray], Any]:
    """The function (S,) -> (T, D) of an extractor; kept, so that a process loads a model once."""
    if extractor.kind == MFCC:
        return mfcc
    if extractor.kind not in LOADERS:
        return _user_function(extractor.kind)
    model = LOADERS[extractor.kind](extractor.checkpoint, extractor.layer)
    model.net.to(extractor.device)
    return partial(model_features, model=model, device=extractor.device)


@torch.inference_mode()
def model_features(wave: np.ndarray, *, model: SpeechModel, device: str = "cpu") -> np.ndarray:
    """(S,) waveform -> (T, D) float32. One of over `PIECE_FRAMES` frames is heard in pieces of so many."""
    waveform = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))[None].to(device)
    if model.epsilon is not None:
        waveform = functional.layer_norm(waveform, waveform.shape[1:], eps=model.epsilon)
    frames, pieces = encoder_frames(len(wave)), []
    for first in range(0, frames, PIECE_FRAMES):
        last = first + PIECE_FRAMES  # the first frame of the next piece
        end = None if last >= frames else (last - 1) * ENCODER_STRIDE + ENCODER_WINDOW
        pieces.append(model.states(waveform[:, first * ENCODER_STRIDE : end])[0])
    return torch.cat(pieces).float().cpu().numpy()


def fitted(features: np.ndarray, frames: int) -> np.ndarray | None:
    """(T, D) -> (frames, D): up to two too many are left out at the end, one too few is the last again; else None."""
    if features.ndim != 2 or not len(features) or not -FEWER_FRAMES <= len(features) - frames <= MORE_FRAMES:
        return None
    return np.concatenate([features, features[-1:]])[:frames] if len(features) < frames else features[:frames]


def checked_features(wave: np.ndarray, extractor: Extractor, place: str) -> np.ndarray:
    """(S,) waveform -> (T, D) float32, T the speech encoder's. Raises ValueError that names the row, at `place`."""
    found, frames = np.asarray(loaded(extractor)(wave), dtype=np.float32), encoder_frames(len(wave))
    features = fitted(found, frames)
    if features is None:
        raise ValueError(
            f"{place}: extractor {extractor.kind} gave shape {found.shape} for {len(wave)} samples; it must be "
            f"({frames}, D), or up to {MORE_FRAMES} frames more or {FEWER_FRAMES} fewer: {ENCODER_FRAME_RATE} frames a "
            "second"
        )
    if not np.isfinite(features).all():  # their distance to every centroid is NaN, and the nearest unit 0
        whose = f"extractor {extractor.kind} gave" if np.isfinite(wave).all() else "the audio holds"
        raise ValueError(f"{place}: {whose} NaN or infinity; convert the file again, or delete the row")
    return features
