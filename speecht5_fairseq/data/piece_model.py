"""Sentencepiece models by their content, which may stand in a file of its own or in a checkpoint."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .errors import ManifestError

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

NO_PIECES = "none"  # of --spm-model: the labels are pieces, whatever the checkpoint's run read
_MEND = "make it with `python -m manifest_tools.vocabulary train`"


class PieceModel(NamedTuple):
    """A sentencepiece model.

    Attributes:
        file: where it was read: a file of its own, or the checkpoint that holds it.
        content: of the model file.
    """

    file: Path
    content: bytes

    @property
    def digest(self) -> str:
        """A short name of the content."""
        return hashlib.blake2b(self.content, digest_size=4).hexdigest()

    def __str__(self) -> str:
        return f"{self.file} ({len(self.content):,} bytes, digest {self.digest})"


def read_piece_model(model: str | Path | PieceModel) -> PieceModel:
    """A sentencepiece model of its file; one that was read before is given back.

    Raises:
        ManifestError: the file is missing.
    """
    if isinstance(model, PieceModel):
        return model
    file = Path(model)
    if not file.is_file():
        raise ManifestError(f"{file}: no sentencepiece model; {_MEND}")
    return PieceModel(file, file.read_bytes())


def load_sentencepiece(model: str | Path | PieceModel) -> SentencePieceProcessor:
    """The sentencepiece processor of a model or of its file.

    Raises:
        ManifestError: the file is missing, or the content is no sentencepiece model.
        ImportError: sentencepiece is not installed.
    """
    try:
        from sentencepiece import SentencePieceProcessor  # only jobs with raw text need it
    except ImportError as error:
        raise ImportError("sentencepiece is not installed: `pip install sentencepiece`") from error
    model = read_piece_model(model)
    processor = SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model.content)
        for number in range(processor.get_piece_size()):  # it takes pieces that are no texts, and trips over them later
            processor.id_to_piece(number)
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        problem = f"not readable as a sentencepiece model ({error})"
        raise ManifestError(f"{model.file}: {problem}; copy it again, or {_MEND}") from error
    return processor
