"""Random segments of a manifest's recordings with their mels, and the held-out recordings.

Shapes: B batch, N mel frames of a segment, M mel bins, S samples (S = N * MEL_HOP).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speecht5_fairseq.constants import MEL_HOP, MEL_WINDOW
from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.manifest import Columns, Manifest, ManifestError
from speecht5_fairseq.data.mel import log_mel
from speecht5_fairseq.generation.results_folder import unique_names

# Any job's manifest will do: the vocoder reads the first two columns of it.
_COLUMNS = Columns(("path", "samples"), required=2, open_ended=True)
_REACH = MEL_WINDOW // 2 // MEL_HOP  # frames that the window of a frame reaches to each side


class Segments:
    """Segments of a split, drawn by number: the same seed and update give the same batch, also after a resume.

    Only the stretch that a segment's mel needs is read. Recordings shorter than a segment are left out and counted.

    Args:
        manifest: a .tsv whose first columns are path and samples.
        frames: N.
        seed: of the run.

    Raises:
        ManifestError: every recording is shorter than a segment.
    """

    def __init__(self, manifest: Path, *, frames: int, seed: int) -> None:
        self.manifest = Manifest.open(manifest, _COLUMNS)
        self.frames = frames
        self.seed = seed
        self.starts = self.manifest.samples // MEL_HOP - frames + 1  # where a segment may start, in frames
        self.rows = np.flatnonzero(self.starts > 0)
        self.left_out = len(self.manifest) - len(self.rows)
        if not len(self.rows):
            raise ManifestError(
                f"{manifest}: every recording is shorter than --segment-frames {frames} ({frames * MEL_HOP} samples); "
                "make the segments shorter"
            )

    def batch(self, update: int, size: int) -> tuple[Tensor, Tensor]:
        """The batch of an update: mels (B, N, M) and waveforms (B, S)."""
        rng = np.random.default_rng((self.seed, update))
        shares = self.starts[self.rows] / self.starts[self.rows].sum()  # so that every segment is as likely
        rows = rng.choice(self.rows, size=size, p=shares)
        mels, waves = zip(*(self.segment(row, int(rng.integers(self.starts[row]))) for row in rows), strict=True)
        return torch.stack(mels), torch.stack(waves)

    def segment(self, row: int, start: int) -> tuple[Tensor, Tensor]:
        """The segment at frame `start` of a recording: mel (N, M), the same as in the whole recording's, and (S,)."""
        first = max(start - _REACH, 0)
        last = min((start + self.frames + _REACH) * MEL_HOP, int(self.manifest.samples[row]))
        stretch = read_audio(self.manifest.path(row), start=first * MEL_HOP, frames=last - first * MEL_HOP)
        wave, offset = torch.from_numpy(stretch), start - first
        mel = log_mel(wave)[offset : offset + self.frames]
        return mel, wave[offset * MEL_HOP :][: self.frames * MEL_HOP]


def recordings(manifest: Path, count: int) -> list[tuple[str, Tensor]]:
    """(id, waveform (S,)) of at most `count` recordings, spread evenly over the manifest; ids as fairseq-generate's."""
    opened = Manifest.open(manifest, _COLUMNS)
    names = unique_names(str(opened.row(row)["path"]) for row in range(len(opened)))
    rows = np.unique(np.linspace(0, len(opened) - 1, count).astype(int))
    return [(names[row], torch.from_numpy(read_audio(opened.path(row)))) for row in rows]
