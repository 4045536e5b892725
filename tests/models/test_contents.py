"""What a checkpoint holds besides weights: in and out of a file, and back into the files that it was read from."""

import pytest
import torch
from checkpoints import bad_checkpoints, tiny_checkpoint
from helpers import CLASSES, SYMBOLS, tiny_base, tiny_dictionary, tiny_piece_model, write_lines

from speecht5_fairseq.data.dictionary import load_class_dictionary, load_text_dictionary, load_unit_dictionary
from speecht5_fairseq.data.piece_model import PieceModel
from speecht5_fairseq.models.contents import Contents, extract, read_contents, saved_contents
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.signal_values import SIGNAL


def contents(tmp_path, **found):
    nothing = {"symbols": [], "classes": [], "units": [], "pieces": None, "piece_file": "", "signal": {}}
    return Contents(path=tmp_path / "checkpoint.pt", **{**nothing, **found})


def test_all_that_a_run_read_comes_back(tmp_path):
    spm_model = tiny_piece_model(tmp_path / "spm.model")
    path = tiny_checkpoint(tmp_path / "checkpoint.pt", "pretrain", spm_model=spm_model, units=["3", "1", "2"])
    found = read_contents(path)
    assert found.symbols == tiny_dictionary().symbols and found.units == ["3", "1", "2"] and found.classes == []
    assert found.pieces == PieceModel(path, spm_model.read_bytes()) and found.piece_file == str(spm_model)
    assert found.signal == SIGNAL and found.path == path
    assert read_contents(tiny_checkpoint(tmp_path / "s2c.pt", "s2c")).classes == list(CLASSES)


def test_a_checkpoint_of_before_tells_its_symbols_and_no_more(tmp_path):
    path = tiny_base(tmp_path / "old.pt", "s2t")
    expected = contents(tmp_path, symbols=tiny_dictionary().symbols)._replace(path=path)
    assert read_contents(path) == expected


def test_what_is_saved_is_what_torch_loads_with_care(tmp_path):
    state = saved_contents(pieces=PieceModel(tmp_path / "spm.model", bytes(range(256))), units=["1"])
    torch.save(state, tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    assert bytes(loaded["sentencepiece"]["model"].tolist()) == bytes(range(256))
    assert set(saved_contents()) == {"signal"}


def test_what_made_the_units_comes_back(tmp_path):
    source = {"model": "0123456789abcdef", "features": "mfcc"}
    found = read_contents(tiny_checkpoint(tmp_path / "checkpoint.pt", "pretrain", units=["1"], unit_source=source))
    assert (found.unit_model, found.unit_features) == ("0123456789abcdef", "mfcc")
    found = read_contents(tiny_checkpoint(tmp_path / "before.pt", "pretrain", units=["1"]))
    assert (found.unit_model, found.unit_features) == ("", "")


@pytest.mark.parametrize("kind", ["other model", "other signal", "rows", "no model"])
def test_files_that_are_no_checkpoints_of_ours(tmp_path, kind):
    path, said = bad_checkpoints(tmp_path)[kind]
    with pytest.raises(CheckpointError, match=f"^{path}: {said}"):
        read_contents(path)


def test_the_files_come_out_as_they_went_in(tmp_path):
    write_lines(tmp_path / "dict.txt", [f"{symbol} 9" for symbol in SYMBOLS])
    write_lines(tmp_path / "dict.km.txt", ["7 1", "5 1"])
    spm_model = tiny_piece_model(tmp_path / "spm.model")
    path = tiny_checkpoint(tmp_path / "checkpoint.pt", "pretrain", spm_model=spm_model, units=["7", "5"])
    out = tmp_path / "new/folder"
    assert extract(read_contents(path), out) == [out / name for name in ("dict.txt", "dict.km.txt", "spm.model")]
    assert load_text_dictionary(out / "dict.txt").symbols == load_text_dictionary(tmp_path / "dict.txt").symbols
    units = [load_unit_dictionary(folder / "dict.km.txt").symbols for folder in (out, tmp_path)]
    assert units[0] == units[1] and (out / "spm.model").read_bytes() == spm_model.read_bytes()
    extract(read_contents(path), out)  # once more, nothing changes


def test_classes_and_symbols_that_come_twice_come_out_too(tmp_path):
    extract(contents(tmp_path, classes=list(CLASSES)), tmp_path / "s2c")
    assert load_class_dictionary(tmp_path / "s2c/dict.txt") == list(CLASSES)
    file = write_lines(tmp_path / "dict.txt", ["A 3", "<unk> 2 #fairseq:overwrite", "B 1", "A 1 #fairseq:overwrite"])
    symbols = load_text_dictionary(file).symbols
    extract(contents(tmp_path, symbols=symbols), tmp_path / "twice")
    assert load_text_dictionary(tmp_path / "twice/dict.txt").symbols == symbols


def test_nothing_to_extract_and_nothing_overwritten(tmp_path):
    with pytest.raises(ValueError, match="checkpoint.pt: holds no dictionary and no sentencepiece model: nothing"):
        extract(contents(tmp_path), tmp_path)
    write_lines(tmp_path / "dict.km.txt", ["0 1"])
    with pytest.raises(ValueError, match=r"--extract .*: dict.km.txt there has another content; name another folder"):
        extract(contents(tmp_path, units=["1", "2"], classes=["a", "b"]), tmp_path)
    assert not (tmp_path / "dict.txt").exists()
