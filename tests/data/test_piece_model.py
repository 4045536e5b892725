"""Sentencepiece models from their own file and by their content."""

import pytest
from helpers import tiny_piece_model

from speecht5_fairseq.data.errors import ManifestError
from speecht5_fairseq.data.piece_model import PieceModel, load_sentencepiece, read_piece_model


def test_a_model_encodes_from_its_file_and_from_its_content_alone(tmp_path):
    file = tiny_piece_model(tmp_path / "spm.model")
    model = read_piece_model(file)
    expected = load_sentencepiece(file).encode("AB C", out_type=str)
    file.unlink()
    assert load_sentencepiece(model).encode("AB C", out_type=str) == expected == ["▁", "A", "B", "▁", "C"]


def test_what_a_model_is_called_says_where_and_which(tmp_path):
    one, other = PieceModel(tmp_path / "spm.model", b"one"), PieceModel(tmp_path / "spm.model", b"two")
    assert str(one) == f"{tmp_path}/spm.model (3 bytes, digest {one.digest})"
    assert one.digest != other.digest == PieceModel(tmp_path, b"two").digest


@pytest.mark.parametrize("content", [b"", b"junk", bytes(range(256)) * 4])
def test_a_broken_model_is_named_with_its_mend(tmp_path, content):
    file = tmp_path / "spm.model"
    file.write_bytes(content)
    message = r"spm.model: not readable as a sentencepiece model .*copy it again, or make"
    for model in (file, PieceModel(file, content)):
        with pytest.raises(ManifestError, match=message):
            load_sentencepiece(model)


def test_a_missing_model_is_named_with_its_mend(tmp_path):
    with pytest.raises(ManifestError, match="no.model: no sentencepiece model; make it with"):
        read_piece_model(tmp_path / "no.model")


def test_a_piece_that_is_no_text_is_refused_at_once(tmp_path):
    """sentencepiece loads it, and raises UnicodeDecodeError when the piece is asked for."""
    file = tiny_piece_model(tmp_path / "spm.model")
    file.write_bytes(file.read_bytes().replace("\u2581".encode(), b"\xff\xff\xff"))
    with pytest.raises(ManifestError, match="spm.model: not readable as a sentencepiece model .*utf-8.*; copy it"):
        load_sentencepiece(file)
