"""Any layout to any other, and what is refused: each with one line that names it."""

import os

import pytest
import torch
from checkpoints import Intruder, bad_checkpoints
from conversions import full_checkpoint, tensors_of
from helpers import SYMBOLS, tiny_model, tiny_piece_model, write_lines

from speecht5_fairseq.convert.formats import convert
from speecht5_fairseq.convert.hifigan import export_huggingface, export_original
from speecht5_fairseq.data.errors import ManifestError
from speecht5_fairseq.data.piece_model import read_piece_model
from speecht5_fairseq.generation.hifigan_checkpoint import load_hifigan
from speecht5_fairseq.generation.vocoder_checks import VocoderError
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.modules.hifigan import HifiganGenerator, HifiganSizes

VOCODER = HifiganSizes(32, (8, 4, 8), (16, 8, 20), (3, 5), ((1, 3, 5), (2,)))


@pytest.fixture
def ours(tmp_path):
    return full_checkpoint(tmp_path / "ours.pt", "s2s")


def test_all_three_layouts_hold_the_same_tensors(tmp_path, ours):
    """Round and round."""
    convert(ours, tmp_path / "hf", "hf")
    convert(tmp_path / "hf", tmp_path / "released.pt", "released")
    convert(tmp_path / "released.pt", tmp_path / "hf2", "hf")
    convert(tmp_path / "hf2", tmp_path / "again.pt", "fairseq")
    before, after = tensors_of(ours), tensors_of(tmp_path / "again.pt")
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_what_is_there_is_replaced_only_when_asked(tmp_path, ours):
    (tmp_path / "hf").mkdir()
    convert(ours, tmp_path / "hf", "hf")  # an empty folder is as good as none
    for to, out in (("hf", "hf"), ("released", "released.pt")):
        convert(ours, tmp_path / out, to, overwrite=True)
        before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
        with pytest.raises(ValueError, match=f"{out}: there already, with other content; .*--overwrite"):
            convert(ours, tmp_path / out, to)
        assert before == sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
        convert(ours, tmp_path / out, to, overwrite=True)


def test_another_dictionary_beside_is_not_replaced(tmp_path):
    source = full_checkpoint(tmp_path / "ours.pt", "s2t")
    file = write_lines(tmp_path / "out" / "dict.txt", ["A 1"]) if (tmp_path / "out").mkdir() is None else None
    with pytest.raises(ValueError, match=f"^{file}: there already, with other content"):
        convert(source, tmp_path / "out" / "released.pt", "released")
    assert file.read_text() == "A 1\n" and not (tmp_path / "out" / "released.pt").exists()
    convert(source, tmp_path / "out" / "released.pt", "released", overwrite=True)
    convert(source, tmp_path / "out" / "released2.pt", "released")  # the same dictionary is no obstacle
    assert file.read_text(encoding="utf-8").count("\n") == len(SYMBOLS)


def test_a_stopped_conversion_leaves_no_checkpoint(tmp_path, ours, monkeypatch):
    def broken(state, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        convert(ours, tmp_path / "out" / "released.pt", "released")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_wrong_kind_of_out_is_refused(tmp_path, ours):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError, match="folder: is a folder, but the checkpoint file of the published code is written"
    ):
        convert(ours, tmp_path / "folder", "released", overwrite=True)
    with pytest.raises(ValueError, match="file: is a file, but the folder of transformers is written"):
        convert(ours, tmp_path / "file", "hf", overwrite=True)
    with pytest.raises(ValueError, match="ours.pt: is what is to be converted"):
        convert(ours, ours, "released", overwrite=True)


def test_what_is_in_that_layout_already_is_refused(tmp_path, ours):
    convert(ours, tmp_path / "hf", "hf")
    convert(ours, tmp_path / "released.pt", "released")
    for path, to in ((ours, "fairseq"), (tmp_path / "hf", "hf"), (tmp_path / "released.pt", "released")):
        with pytest.raises(ValueError, match=f"^{path}: is the .* already; copy it, or give another --to"):
            convert(path, tmp_path / "out", to)


def test_files_that_are_no_checkpoints_are_named(tmp_path, ours, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    with pytest.raises(FileNotFoundError, match="^nothing: no such file or folder; correct the path$"):
        convert(tmp_path.relative_to(tmp_path) / "nothing", out, "hf")
    half = tmp_path / "half.pt"
    half.write_bytes(ours.read_bytes()[: ours.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=rf"^{half}: no readable checkpoint \(cut off after [\d,]+ bytes\); copy"):
        convert(half, out, "hf")
    for content in (b"", b"some text", b"\x80\x02."):
        half.write_bytes(content)
        with pytest.raises(CheckpointError, match=f"^{half}: no readable checkpoint"):
            convert(half, out, "hf")
    for content in ({"weights": 1}, [1, 2], {"model": None}):
        torch.save(content, half)
        with pytest.raises(CheckpointError, match=f"^{half}: holds no model"):
            convert(half, out, "hf")
    for zipped in (True, False):
        intruder = Intruder(tmp_path / "it_ran", command=True)
        torch.save({"model": {"encoder.x": intruder}}, half, _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError, match=f"^{half}: refused, and nothing in it was run: it asks for .*system"):
            convert(half, out, "hf")
    assert not (tmp_path / "it_ran").exists() and not out.exists()


def test_folders_that_are_no_checkpoints_are_named(tmp_path, ours):
    folder, out = tmp_path / "folder", tmp_path / "out.pt"
    folder.mkdir()
    with pytest.raises(
        CheckpointError, match=f"^{folder}: no config.json in this folder, so it is none of transformers'"
    ):
        convert(folder, out, "fairseq")
    for content, message in (("{", "no readable settings"), ("[]", "holds no settings by name")):
        (folder / "config.json").write_text(content)
        with pytest.raises(CheckpointError, match=f"config.json: {message}"):
            convert(folder, out, "fairseq")
    (folder / "config.json").write_text('{"model_type": "speecht5", "architectures": ["SpeechT5ForSpeechToSpeech"]}')
    with pytest.raises(CheckpointError, match="no model.safetensors and no pytorch_model.bin in this folder"):
        convert(folder, out, "fairseq")
    (folder / "model.safetensors").write_bytes(b"\x09\x00")
    with pytest.raises(CheckpointError, match="model.safetensors: not readable as safetensors"):
        convert(folder, out, "fairseq")
    (folder / "model.safetensors").unlink()
    torch.save({"a": Intruder(tmp_path / "it_ran", command=False)}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pytorch_model.bin: refused, and nothing in it was run"):
        convert(folder, out, "fairseq")
    assert not (tmp_path / "it_ran").exists()
    torch.save({"a": 1}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pytorch_model.bin: holds no tensors by name"):
        convert(folder, out, "fairseq")
    with pytest.raises(ValueError, match="config.json: a file of a folder; give the folder"):
        convert(folder / "config.json", out, "fairseq")


def test_another_models_checkpoint_is_named(tmp_path):
    path = tmp_path / "lm.pt"
    torch.save({"model": {"decoder.embed_tokens.weight": torch.ones(3, 2)}, "cfg": {"model": {"_name": "lm"}}}, path)
    with pytest.raises(CheckpointError, match=f"^{path}: it is not a speecht5_fairseq model; its nets are decoder"):
        convert(path, tmp_path / "hf", "hf")
    for kind in ("other model", "other signal", "rows"):
        bad, said = bad_checkpoints(tmp_path / "bad")[kind]
        with pytest.raises(
            CheckpointError, match=f"^{bad}: {said if kind != 'rows' else '.*ctc_head.projection.bias'}"
        ):
            convert(bad, tmp_path / "hf", "hf")
    torch.save({"model": tiny_model("s2t").state_dict()}, path)
    with pytest.raises(CheckpointError, match=f"^{path}: its options are those of the model None"):
        convert(path, tmp_path / "hf", "hf")


def test_a_sentencepiece_model_without_use_or_place_is_refused(tmp_path, ours):
    with pytest.raises(FileNotFoundError, match="--spm-model gone.model: no such file"):
        convert(ours, tmp_path / "hf", "hf", spm_model=tmp_path.relative_to(tmp_path) / "gone.model")
    with pytest.raises(ValueError, match="--spm-model .*: the job s2s has no text; leave the option out"):
        convert(ours, tmp_path / "out.pt", "released", spm_model=tiny_piece_model(tmp_path / "spm.model"))


@pytest.mark.parametrize("to, out", [("fairseq", "out.pt"), ("released", "out.pt"), ("hf", "hf")])
def test_a_sentencepiece_model_is_held_against_the_dictionary(tmp_path, to, out):
    """Whatever the layout that is written."""
    ours = full_checkpoint(tmp_path / "ours.pt", "s2t")
    source, own = ours, tiny_piece_model(tmp_path / "own" / "spm.model")
    if to == "fairseq":
        convert(ours, tmp_path / "from_hf", "hf", spm_model=own)
        source = tmp_path / "from_hf"
    text = write_lines(tmp_path / "text.model", ["no model at all"])
    with pytest.raises(ManifestError, match=f"^{text}: not readable as a sentencepiece model"):
        convert(source, tmp_path / out, to, spm_model=text)
    other = tiny_piece_model(tmp_path / "other.model", symbols=SYMBOLS.replace("Q", ""))
    with pytest.raises(CheckpointError, match=f"^{other}: has no piece 'Q' .index .*, so it belongs to another dict"):
        convert(source, tmp_path / out, to, spm_model=other)
    assert not (tmp_path / out).exists()


def test_pieces_that_the_dictionary_lacks_are_told(tmp_path):
    ours, more = (
        full_checkpoint(tmp_path / "ours.pt", "s2t"),
        tiny_piece_model(tmp_path / "more.model", symbols=SYMBOLS + "2"),
    )
    notes = convert(ours, tmp_path / "out.pt", "released", spm_model=more)
    assert f"{more} makes pieces that the dictionary lacks, read as <unk>: 2" in notes


def test_another_sentencepiece_model_than_the_checkpoints_own_is_told(tmp_path):
    own = tiny_piece_model(tmp_path / "own.model")
    ours = full_checkpoint(tmp_path / "ours.pt", "t2s", spm_model=own)
    other = tiny_piece_model(tmp_path / "other.model", model_type="bpe", vocab_size=40)
    told = f"the sentencepiece model is {read_piece_model(other)}, in place of that of the training, digest "
    notes = convert(ours, tmp_path / "out" / "released.pt", "released", spm_model=other)
    assert [note for note in notes if note.startswith(told + read_piece_model(own).digest)]
    notes = convert(ours, tmp_path / "same" / "released.pt", "released", spm_model=own)
    assert "sentencepiece" not in " ".join(notes)


def test_a_tokenizer_of_no_text_is_a_sentencepiece_model_too(tmp_path, ours):
    text = write_lines(tmp_path / "text.model", ["no model at all"])
    with pytest.raises(ManifestError, match=f"^{text}: not readable as a sentencepiece model"):
        convert(ours, tmp_path / "hf", "hf", spm_model=text)


@pytest.fixture
def vocoder():
    torch.manual_seed(3)
    net = HifiganGenerator(sizes=VOCODER).eval()
    with torch.no_grad():
        net.mean.normal_(-2)
        net.scale.uniform_(0.5, 1.5)
    return net


@torch.no_grad()
@pytest.mark.parametrize("first, to", [(export_original, "hf"), (export_huggingface, "released")])
def test_a_vocoder_goes_from_one_layout_to_the_other(tmp_path, vocoder, first, to):
    first(vocoder, tmp_path / "one")
    convert(tmp_path / "one", tmp_path / "other", to)
    mel = torch.randn(1, 9, 80) - 2
    assert (tmp_path / "other" / "config.json").exists() == (to == "hf")
    assert (load_hifigan(tmp_path / "other")(mel) - vocoder(mel)).abs().max() < 1e-6
    with pytest.raises(ValueError, match="other: is in that layout already"):
        convert(tmp_path / "other", tmp_path / "third", to)
    with pytest.raises(ValueError, match="other: there already; give another OUT, or --overwrite"):
        convert(tmp_path / "one", tmp_path / "other", to)
    convert(tmp_path / "one", tmp_path / "other", to, overwrite=True)


@torch.no_grad()
@pytest.mark.parametrize("before", [export_huggingface, export_original])
@pytest.mark.parametrize("first, to", [(export_original, "hf"), (export_huggingface, "released")])
def test_the_vocoder_of_before_is_in_force_no_more(tmp_path, vocoder, before, first, to):
    """Whichever its layout; a file of the user's stays."""
    before(vocoder, tmp_path / "out")
    (tmp_path / "out" / "mine.txt").write_text("kept")
    vocoder.output_conv.bias += 1
    first(vocoder, tmp_path / "one")
    convert(tmp_path / "one", tmp_path / "out", to, overwrite=True)
    assert torch.equal(load_hifigan(tmp_path / "out").output_conv.bias, vocoder.output_conv.bias)
    own = {"hf": {"config.json", "model.safetensors"}, "released": {"checkpoint.pkl", "config.yml", "stats.npy"}}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*own[to], "mine.txt"}


@pytest.mark.parametrize("first, to", [(export_original, "hf"), (export_huggingface, "released")])
def test_a_checkpoint_that_nobody_knows_of_stops_a_vocoder(tmp_path, vocoder, first, to):
    first(vocoder, tmp_path / "one")
    export_original(vocoder, tmp_path / "out")
    os.rename(tmp_path / "out" / "checkpoint.pkl", tmp_path / "out" / "other.pkl")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(ValueError, match=r"out: holds other\.pkl, a checkpoint .*; give another OUT, or move it away"):
        convert(tmp_path / "one", tmp_path / "out", to, overwrite=True)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@torch.no_grad()
def test_a_vocoder_is_known_by_its_file_too(tmp_path, vocoder):
    export_original(vocoder, tmp_path / "one")
    assert convert(tmp_path / "one" / "checkpoint.pkl", tmp_path / "hf", "hf") == ["SpeechT5HifiGan"]
    os.rename(tmp_path / "one" / "checkpoint.pkl", tmp_path / "one" / "vocoder.pt")
    convert(tmp_path / "one" / "vocoder.pt", tmp_path / "hf2", "hf")
    one, other = (load_hifigan(tmp_path / name).state_dict() for name in ("hf", "hf2"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_a_vocoder_has_not_is_refused(tmp_path, vocoder):
    export_original(vocoder, tmp_path / "one")
    with pytest.raises(ValueError, match="one: a HiFi-GAN has the layouts hf and released"):
        convert(tmp_path / "one", tmp_path / "out", "fairseq")
    with pytest.raises(ValueError, match="^--job, --spm-model: .* is a vocoder, which has none"):
        convert(tmp_path / "one", tmp_path / "out", "hf", job="t2s", spm_model=tmp_path / "spm.model")
    with pytest.raises(ValueError, match="one: is where the vocoder is"):
        convert(tmp_path / "one", tmp_path / "one", "hf", overwrite=True)
    (tmp_path / "one" / "stats.npy").unlink()
    with pytest.raises(VocoderError, match="stats.npy: no mean and scale"):
        convert(tmp_path / "one", tmp_path / "out", "hf")
