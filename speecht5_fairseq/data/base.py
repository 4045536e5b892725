"""What all datasets share: order, batches, epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch
from fairseq.data import FairseqDataset, data_utils

from ..constants import ENCODER_WINDOW
from .audio import read_audio
from .errors import AudioError, DataError, ManifestError
from .left_out import LeftOutRows
from .manifest import Manifest
from .mel import mel_samples
from .seeding import EpochSeeds
from .speaker import read_speaker
from .workers import spare_inherited_objects

if TYPE_CHECKING:
    from typing_extensions import Required

spare_inherited_objects()


class SizedDataset(FairseqDataset):
    """A dataset of items whose sizes are known: batches by size, the same after a resume as in a straight run.

    Attributes:
        sizes: int64 (items,), in the unit that --max-tokens counts.
        kept: int64 indices that take part; the others were left out for their length.
        too_large_mend: what to do about an item that is larger than a batch may be.
    """

    too_large_mend = "raise --max-tokens"

    def __init__(self, *, sizes: np.ndarray, kept: np.ndarray, seed: int, training: bool) -> None:
        self.sizes = sizes
        self.kept = kept
        self.training = training
        self.seeds = EpochSeeds(seed, training=training)

    def __len__(self) -> int:
        return len(self.sizes)

    def num_tokens(self, index: int) -> int:
        """Size of an item, in the unit that --max-tokens counts."""
        return int(self.sizes[index])

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        """Sizes of many items: int64, of the shape of `indices`."""
        return self.sizes[indices]

    def size(self, index: int) -> int:
        """The same as `num_tokens`: items are ordered by what --max-tokens counts."""
        return int(self.sizes[index])

    def set_epoch(self, epoch: int) -> None:
        """Start fairseq's epoch (from 1): crops and noise are drawn anew; without effect outside training."""
        self.seeds.set_epoch(epoch)

    @property
    def can_reuse_epoch_itr_across_epochs(self) -> bool:
        """Not in training: batches made once would depend on the epoch at which a resumed run began."""
        return not self.training

    def ordered_indices(self) -> np.ndarray:
        """Kept indices, longest first (too large a batch fails at once); ties in random order in training."""
        ties = np.random.permutation(len(self.kept)) if self.training else np.arange(len(self.kept))[::-1]
        return self.kept[np.lexsort((ties, self.sizes[self.kept]))[::-1]]

    def batch_by_size(
        self,
        indices: np.ndarray,
        max_tokens: int | None = None,
        max_sentences: int | None = None,
        required_batch_size_multiple: int = 1,
    ) -> list[np.ndarray]:
        """fairseq's batches, plus the last one, which fairseq drops when it is no multiple (a test set would shrink).

        Raises:
            DataError: no index, no limit, or an item larger than `max_tokens`.
        """
        if not len(indices):
            raise DataError(f"{self.describe()}: no item is left to make batches of; widen the length limits")
        if max_tokens is None and max_sentences is None:
            raise DataError("batches need a limit; give --max-tokens or --batch-size")
        sizes = self.num_tokens_vec(indices)
        if max_tokens is not None and sizes.max() > max_tokens:
            index = int(indices[sizes.argmax()])
            problem = f"its size is {sizes.max()}, more than the {max_tokens} that a batch may hold"
            raise DataError(f"{self.describe(index)}: {problem}; {self.too_large_mend}")
        batches = data_utils.batch_by_size(
            indices,
            num_tokens_fn=self.num_tokens,
            num_tokens_vec=sizes,
            max_tokens=max_tokens,
            max_sentences=max_sentences,
            required_batch_size_multiple=required_batch_size_multiple,
        )
        batched = sum(map(len, batches))
        return batches if batched == len(indices) else [*batches, indices[batched:]]

    def describe(self, index: int | None = None) -> str:
        """Where the dataset, or one of its items, stands: the start of an error message."""
        raise NotImplementedError

    def places(self, batch: dict) -> list[str]:
        """Where each item of a batch stands."""
        return [self.describe(index % len(self)) for index in batch["id"].tolist()]


class SpeechOptions(TypedDict, total=False):
    """Keyword arguments that every speech dataset hands on to `SpeechDataset`, which explains them."""

    seed: Required[int]
    training: Required[bool]
    min_samples: int | None
    max_samples: int | None
    allow_left_out: bool
    resample: bool
    step_frames: int


class SpeechDataset(SizedDataset):
    """Rows of a manifest: index i is row i in every split, and a batch's `id`. Sizes are in samples.

    Rows outside [min_samples, max_samples] are not among `ordered_indices`: in training they are counted, logged and
    listed; in other splits they are an error unless `allow_left_out`. Of rows with two recordings both count.

    Args:
        min_samples: shortest recording; in any case a source has one encoder window, and a target one step.
        max_samples: longest recording; None for no limit.
        allow_left_out: let a split other than train shrink.
        resample: convert audio of other rates than 16 kHz, else refuse it.
        step_frames: mel frames of one step of the decoder; 0 where it does not predict speech.
        crop_samples: longest stretch of a row that an item holds; None for whole rows.

    Raises:
        DataError: crop_samples is smaller than one encoder window or one step.
        ManifestError: rows of a split other than train are out of range, or none is left.
    """

    too_large_mend = "raise --max-tokens, or leave the row out with --max-speech-samples"

    def __init__(
        self,
        manifest: Manifest,
        *,
        seed: int,
        training: bool,
        min_samples: int | None = None,
        max_samples: int | None = None,
        allow_left_out: bool = False,
        resample: bool = True,
        step_frames: int = 0,
        crop_samples: int | None = None,
    ) -> None:
        step = mel_samples(step_frames)
        if crop_samples is not None and crop_samples < max(ENCODER_WINDOW, step):
            least = (
                f"a step of {step_frames} mel frames ({step})"
                if step > ENCODER_WINDOW
                else f"one encoder window ({ENCODER_WINDOW})"
            )
            raise DataError(f"--crop-samples is {crop_samples}; give at least {least}")
        self.manifest = manifest
        self.resample = resample
        self.crop_samples = crop_samples
        self.left_out = LeftOutRows(manifest, allowed=training or allow_left_out)
        shortest = min_samples or 0
        kept = self._within(max(shortest, ENCODER_WINDOW), max(shortest, step), max_samples)
        sizes = self.longest() if crop_samples is None else np.minimum(self.longest(), crop_samples)
        super().__init__(sizes=sizes, kept=kept, seed=seed, training=training)

    def longest(self) -> np.ndarray:
        """Samples of each row's longest recording: what sizes and `max_samples` are about."""
        return self.manifest.samples

    def target_samples(self) -> np.ndarray:
        """Samples of each row's recording that is the decoder's target, where speech is."""
        return self.manifest.samples

    def _within(self, shortest: int, shortest_target: int, longest: int | None) -> np.ndarray:
        """Rows whose recordings have so many samples; the others are noted, each for one reason."""
        samples, targets, most = self.manifest.samples, self.target_samples(), self.longest()
        limits = [
            (samples < shortest, f"shorter than {shortest} samples", samples),
            (targets < shortest_target, f"target shorter than {shortest_target} samples", targets),
        ]
        if longest is not None:
            limits.append((most > longest, f"longer than {longest} samples", most))
        good = np.ones(len(self.manifest), dtype=bool)
        for bad, reason, lengths in limits:
            self.left_out.note(np.flatnonzero(good & bad), reason, lengths)
            good &= ~bad
        if not good.any():
            raise ManifestError(f"{self.manifest.file}: no row has {shortest} to {longest} samples; widen the limits")
        self.left_out.remove_stale()
        return np.flatnonzero(good)

    def read(self, index: int, start: int = 0, frames: int = -1, *, column: str = "path") -> np.ndarray:
        """Waveform in an audio column of row `index`, whole or a stretch of it: float32 (S,).

        Raises:
            ManifestError: with the row's line, when the file is gone, broken or of another length than the row says.
        """
        try:
            wave = read_audio(self.manifest.path(index, column), start=start, frames=frames, resample=self.resample)
        except AudioError as error:
            raise self.manifest.blame(index, error) from error
        expected = self.manifest.length(index, column) if frames < 0 else frames
        if len(wave) != expected:
            problem = f"the audio has {len(wave)} samples, the row says {expected}"
            raise self.manifest.error(index, problem, "correct the row's sample count")
        if not np.isfinite(wave).all():
            raise self.manifest.error(index, "the audio holds NaN or infinity", "convert the file again")
        return wave

    def spare(self, index: int) -> int:
        """Samples of row `index` that are more than its item holds: where a crop may start, from 0."""
        return int(self.manifest.samples[index] - self.sizes[index])

    def read_crop(self, index: int, start: int) -> np.ndarray:
        """As `read`, the crop (S,) from `start`, or the whole row where it is no longer, whose length is checked."""
        return self.read(index, start, int(self.sizes[index])) if self.spare(index) else self.read(index)

    def speaker(self, index: int) -> torch.Tensor:
        """Speaker vector (512,) of row `index`.

        Raises:
            ManifestError: with the row's line, when it is missing, of another shape or no numbers.
        """
        try:
            return torch.from_numpy(read_speaker(self.manifest.path(index, "speaker")))
        except AudioError as error:
            raise self.manifest.blame(index, error) from error

    def describe(self, index: int | None = None) -> str:
        """The manifest's path, with the line of row `index` where it is given."""
        line = "" if index is None else f":{self.manifest.line_number(index)}"
        return f"{self.manifest.file}{line}"
