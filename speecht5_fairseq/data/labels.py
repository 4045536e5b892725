"""What belongs to each row of a manifest: a text as token indices, or speech units as classes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..constants import CTC_BLANK_SYMBOL, ENCODER_FRAME_RATE, IGNORED_LABEL, MASK_SYMBOL, SAMPLE_RATE
from .dictionary import Vocabulary, load_unit_dictionary, unit_classes
from .errors import DataError, ManifestError, located
from .manifest import Manifest, TextLines
from .piece_model import PieceModel, load_sentencepiece, read_piece_model
from .text_normalisation import NO_NORMALISER, find_normaliser
from .unit_record import UnitRecord, check_model, read_record

if TYPE_CHECKING:
    from fairseq.data import Dictionary

logger = logging.getLogger(__name__)


class TextLabels:
    """`<labels>/<split>.txt`, one line an utterance: pieces and spaces, or raw text with a sentencepiece model.

    Args:
        spm_model: the model or its file; None for labels that are pieces already.
        normaliser: what `text_normalisation.find_normaliser` finds; applied to raw text before sentencepiece.

    Attributes:
        spm_model: the model, or None.
        files: what the labels were made from, for the stamp of a verification.

    Raises:
        DataError: a normaliser for pieces.
    """

    def __init__(
        self,
        lines: TextLines,
        dictionary: Dictionary,
        spm_model: str | Path | PieceModel | None = None,
        *,
        normaliser: str = NO_NORMALISER,
    ) -> None:
        if normaliser != NO_NORMALISER and not spm_model:
            raise DataError(
                f"--text-normaliser {normaliser} reads raw text, but without --spm-model the labels are pieces "
                "already; give --spm-model, or drop the normaliser"
            )
        self.lines = lines
        self.dictionary = dictionary
        self.spm_model = read_piece_model(spm_model) if spm_model else None
        self.normaliser = normaliser
        self._normalise = find_normaliser(normaliser)
        self.files = [lines.path] + ([self.spm_model.file] if self.spm_model else [])
        self._encoder = load_sentencepiece(self.spm_model) if self.spm_model else None
        self._warn_of_other_pieces()

    def _warn_of_other_pieces(self) -> None:
        """Say so where the sentencepiece model cannot make some of the dictionary's symbols."""
        if self._encoder is None:
            return
        pieces = {self._encoder.id_to_piece(number) for number in range(self._encoder.get_piece_size())}
        symbols = [
            s for s in self.dictionary.symbols[self.dictionary.nspecial :] if s not in (MASK_SYMBOL, CTC_BLANK_SYMBOL)
        ]
        others = [symbol for symbol in symbols if symbol not in pieces]
        if others:
            logger.warning(
                "%d of the dictionary's %d symbols are no pieces of %s, %r for one: is it the model that the "
                "dictionary was made with?",
                len(others),
                len(symbols),
                self.spm_model.file,
                others[0],
            )

    @classmethod
    def open(
        cls,
        folder: str | Path,
        split: str,
        dictionary: Dictionary,
        spm_model: str | Path | PieceModel | None = None,
        *,
        normaliser: str = NO_NORMALISER,
    ) -> TextLabels:
        """Open `<folder>/<split>.txt`.

        Raises:
            ManifestError: the file is missing.
        """
        path = _existing(Path(folder) / f"{split}.txt", "text labels", "write one line of text for each manifest row")
        return cls(TextLines(path), dictionary, spm_model, normaliser=normaliser)

    def __len__(self) -> int:
        return len(self.lines)

    def pieces(self, index: int) -> list[str]:
        """The symbols of row `index`, with neither `<s>` nor `</s>`.

        Raises:
            ManifestError: not UTF-8, or the normaliser cannot read it.
        """
        return self.encode(self.spoken(index))

    def spoken(self, index: int) -> str:
        """The text of row `index` as it is said: normalised, where a normaliser was given."""
        return self.normalised(index, self.lines[index])

    def normalised(self, index: int, text: str) -> str:
        """A part of row `index` as it is said.

        Raises:
            ManifestError: with the row's line, whatever the normaliser raises: it may be the user's own.
        """
        try:
            return self._normalise(text) if self.spm_model else text
        except Exception as error:
            problem = f"--text-normaliser {self.normaliser} cannot read it ({str(error)[:200]})"
            raise self.error(index, problem, "write it in words") from error

    def encode(self, text: str) -> list[str]:
        """The symbols of a spoken text."""
        return text.split() if self._encoder is None else self._encoder.encode(text, out_type=str)

    def unknown(self, pieces: Sequence[str]) -> list[str]:
        """Those of the symbols that the dictionary lacks."""
        unk = self.dictionary.unk()
        return [piece for piece in pieces if self.dictionary.index(piece) == unk]

    def tokens(self, index: int) -> torch.Tensor:
        """pieces </s> of row `index`: int64 (L,).

        Raises:
            ManifestError: the line is empty or not UTF-8.
        """
        indices = [self.dictionary.index(piece) for piece in self.pieces(index)]
        if not indices:
            raise self.error(index, f"no text ({self.lines[index]!r})", "write the text or delete the row")
        return torch.tensor([*indices, self.dictionary.eos()], dtype=torch.int64)

    def error(self, index: int, problem: str, mend: str) -> ManifestError:
        """A ManifestError about the label of row `index`."""
        return ManifestError(located(self.lines.path, self.lines.line_number(index), problem, mend))


class UnitLabels:
    """`<labels>/<split>.km`, one line an utterance: k-means units separated by spaces, `rate` of them a second.

    Attributes:
        record: what `units.json` beside them says; None where there is none.
        files: what a verification reads, for its stamp.
    """

    def __init__(self, lines: TextLines, dictionary: Dictionary, rate: int = ENCODER_FRAME_RATE) -> None:
        if rate < 1:
            raise DataError(f"unit_rate must be a positive number of units a second, not {rate}")
        self.lines = lines
        self.dictionary = dictionary
        self.rate = rate
        self.record: UnitRecord | None = None
        self.files = [lines.path]

    @classmethod
    def open(
        cls,
        folder: str | Path,
        split: str,
        *,
        rate: int = ENCODER_FRAME_RATE,
        vocabulary: Vocabulary | None = None,
    ) -> UnitLabels:
        """Open `<folder>/<split>.km`.

        Args:
            vocabulary: the dictionary of the units and its file; None for `<folder>/dict.km.txt`.

        Raises:
            ManifestError: a file is missing.
            DictionaryError: dict.km.txt breaks its format.
            DataError: `units.json` is no record, tells nothing of this split, or of another model than for the others.
        """
        mend = "make it with `python -m manifest_tools.units`"
        if vocabulary is None:
            file = _existing(Path(folder) / "dict.km.txt", "dictionary of units", mend)
            vocabulary = Vocabulary(load_unit_dictionary(file), file)
        lines = TextLines(_existing(Path(folder) / f"{split}.km", "unit labels", mend))
        labels = cls(lines, vocabulary.dictionary, rate)
        labels.files.append(vocabulary.file)
        labels.record = read_record(folder)
        if labels.record is not None:
            check_model(labels.record, split)
        return labels

    @cached_property
    def _classes(self) -> np.ndarray:
        return unit_classes(self.dictionary)

    def __len__(self) -> int:
        return len(self.lines)

    def classes(self, index: int) -> np.ndarray:
        """Classes of row `index`, one a unit: int64 (units,).

        Raises:
            ManifestError: a unit is no integer or not in the dictionary.
        """
        line = self.lines[index]
        fields = line.split()
        if not line.isascii() or "_" in line:  # Python reads other scripts' digits and 1_000 too
            problem = f"a unit is no integer ({line[:60]!r})"
            raise self.error(index, problem, "make the units again")
        try:
            units = np.array([int(field) for field in fields], dtype=np.int64)
        except (ValueError, OverflowError) as error:
            raise self.error(index, f"a unit is no integer ({str(error)[:200]})", "make the units again") from error
        known = (units >= 0) & (units < len(self._classes))
        classes = self._classes[np.where(known, units, 0)]
        known &= classes >= 0
        if not known.all():
            wrong = units[~known][0]
            raise self.error(index, f"unit {wrong} is not in dict.km.txt", "take the dictionary of these units")
        return classes

    def frame_classes(self, index: int, first_frame: int, frames: int) -> torch.Tensor:
        """Class of each encoder frame of a crop: int64 (T,), IGNORED_LABEL past the last unit.

        Args:
            first_frame: encoder frame of the utterance at which the crop starts.
            frames: T.
        """
        classes = self.classes(index)
        wanted = (first_frame + np.arange(frames)) * self.rate // ENCODER_FRAME_RATE
        inside = wanted < len(classes)
        aligned = np.full(frames, IGNORED_LABEL, dtype=np.int64)
        aligned[inside] = classes[wanted[inside]]
        return torch.from_numpy(aligned)

    def expected(self, samples: int) -> float:
        """Units that an utterance of that many samples should have."""
        return samples * self.rate / SAMPLE_RATE

    def error(self, index: int, problem: str, mend: str) -> ManifestError:
        """A ManifestError about the label of row `index`."""
        return ManifestError(located(self.lines.path, self.lines.line_number(index), problem, mend))


def check_count(manifest: Manifest, labels: TextLabels | UnitLabels) -> None:
    """Check that there is one label line for each row.

    Raises:
        ManifestError: the counts differ.
    """
    if len(labels) != len(manifest):
        problem = f"{len(labels)} label lines for the {len(manifest)} rows of {manifest.file}"
        mend = "label line N belongs to manifest line N + 1: write exactly one for each row"
        raise ManifestError(located(labels.lines.path, min(len(labels), len(manifest)) + 1, problem, mend))


def _existing(path: Path, what: str, mend: str) -> Path:
    if not path.is_file():
        raise ManifestError(f"{path}: no {what}; {mend}")
    return path
