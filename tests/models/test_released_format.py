"""Tensors of the published code's checkpoints: every one is known, and comes back as it was."""

import re
from pathlib import Path

import pytest
import torch
from helpers import LARGE_LAYOUT, speech_source, tiny_model

from speecht5_fairseq.models import SpeechT5Config, SpeechT5Model
from speecht5_fairseq.models.checkpoint import read_checkpoint
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.jobs import JOBS
from speecht5_fairseq.models.released_format import from_released, is_released, to_released, travels_apart

LISTING = Path(__file__).with_name("released_tensors.tsv")
SYMBOLS, UNITS = 81, 500
JOB_OPTIONS = {
    "pretrain": {},
    "s2t": {},
    "t2s": {"reduction_factor": 1},
    "s2s": {},
    "s2c": {"speaker_embedding_dim": 0},
}


def listed_tensors() -> dict[str, torch.Size]:
    """Names and shapes of the file beside this one."""
    found = {}
    for line in LISTING.read_text(encoding="utf-8").splitlines()[1:]:
        name, shape = line.split("\t")
        numbers = re.search(r"(?<=\.)(\d+)-(\d+)(?=\.)", name)
        layers = range(int(numbers[1]), int(numbers[2]) + 1) if numbers else [None]
        for layer in layers:
            whole = name if layer is None else name.replace(numbers[0], str(layer), 1)
            found[whole] = torch.Size(int(size) for size in shape.split(",") if size)
    return found


@pytest.fixture
def base_model(monkeypatch) -> SpeechT5Model:
    """The base size in pre-training, without memory for its weights."""
    monkeypatch.setattr("speecht5_fairseq.models.builder.initialize", lambda model: None)
    symbols = [f"s{number}" for number in range(SYMBOLS)]
    with torch.device("meta"):
        return SpeechT5Model(SpeechT5Config(), JOBS["pretrain"], symbols=symbols, padding=1, units=UNITS)


def test_the_base_model_writes_every_tensor_of_a_released_file_but_the_ctc_head(base_model):
    written = {name: tensor.shape for name, tensor in to_released(base_model.state_dict()).items()}
    released = listed_tensors()
    assert len(released) == 464
    ctc = {"encoder.proj.weight", "encoder.proj.bias"}  # of another job here; released files hold it in every job
    assert {name: shape for name, shape in released.items() if name not in ctc} == written


def test_a_released_file_has_every_tensor_of_the_base_model(base_model):
    files = {name: torch.empty(shape, device="meta") for name, shape in listed_tensors().items()}
    tensors, unused = from_released(files)
    own = {name: tensor.shape for name, tensor in base_model.state_dict().items() if not travels_apart(name)}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    assert found == own | {"ctc_head.projection.weight": (SYMBOLS, 768), "ctc_head.projection.bias": (SYMBOLS,)}
    assert len(unused) == len(files) - len(tensors)
    assert "decoder.pos_emb.pe_k.weight" in unused and "encoder.layers.11.norm_k.bias" in unused


@pytest.mark.parametrize("layout", ["base", "large"])
@pytest.mark.parametrize("job", JOB_OPTIONS)
def test_there_and_back_is_bit_equal(job, layout):
    options = JOB_OPTIONS[job] | (LARGE_LAYOUT if layout == "large" else {})
    ours = tiny_model(job, **options).state_dict()
    theirs = to_released(ours)
    assert is_released(theirs) and not is_released(ours)
    back = from_released(theirs).tensors
    carried = {name: tensor for name, tensor in ours.items() if not travels_apart(name)}
    assert back.keys() == carried.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in carried.items())


def test_rows_stand_where_the_published_code_has_the_unit_and_the_class():
    """Behind the specials of a dictionary, and the classes before <mask> and <ctc_blank>."""
    units = tiny_model("pretrain").state_dict()["unit_head.embeddings"]
    theirs = to_released(tiny_model("pretrain").state_dict())["hubert_layer.label_embs_concat"]
    assert torch.equal(theirs[4:], units) and not theirs[:4].any()
    classes = tiny_model("s2c").state_dict()["speaker_head.projection.weight"]
    theirs = to_released(tiny_model("s2c").state_dict())["speaker_decoder_postnet.output_projection.weight"]
    assert torch.equal(theirs[4:-2], classes) and not theirs[:4].any() and not theirs[-2:].any()


def test_an_embedding_of_speakers_classifies_the_same_without_its_bias():
    """Theirs has no bias; BatchNorm, which comes behind it, takes it in."""
    model = tiny_model("s2c", speaker_embedding_dim=8).eval()
    again = tiny_model("s2c", speaker_embedding_dim=8, seed=1).eval()
    again.load_state_dict(model.state_dict() | from_released(to_released(model.state_dict())).tensors)
    source = speech_source(4000, 9117)
    with torch.no_grad():
        one, other = (each(**source).speaker.logits for each in (model, again))
    torch.testing.assert_close(other, one, atol=1e-6, rtol=0)
    assert not again.speaker_head.embedding[1].bias.any()


def test_a_released_file_is_read_by_our_names(tmp_path):
    model = tiny_model("s2t")
    path = tmp_path / "released.pt"
    torch.save({"model": to_released(model.state_dict())}, path)
    assert torch.equal(
        read_checkpoint(path)["model"]["ctc_head.projection.weight"], model.ctc_head.projection.weight.detach()
    )


def test_what_either_side_cannot_hold_is_named():
    theirs = to_released(tiny_model("s2t").state_dict())
    with pytest.raises(CheckpointError, match="1 tensors that it is not known to have: encoder.layers.0.gate.weight"):
        from_released(theirs | {"encoder.layers.0.gate.weight": torch.ones(1)})
    pooled = tiny_model("s2c", speaker_pooling="attentive").state_dict()
    with pytest.raises(CheckpointError, match=r"cannot hold 3 tensors: speaker_head.pooling.hidden.bias"):
        to_released(pooled)


def test_a_codebook_without_its_projection_is_named(tmp_path):
    theirs = to_released(tiny_model("pretrain").state_dict())
    for name in [name for name in theirs if name.startswith("quantizer.weight_proj.")]:
        del theirs[name]
    torch.save({"model": theirs}, tmp_path / "cut.pt")
    with pytest.raises(CheckpointError, match=f"^{tmp_path}/cut.pt: has quantizer.codebook .* without quantizer.proj"):
        read_checkpoint(tmp_path / "cut.pt")


@pytest.mark.parametrize("shape", [(3,), (1, 14), (1, 14, 0), (1, 14, 24), (2, 13, 12), (1, 14, 7)])
def test_a_codebook_of_another_shape_is_left_to_loading(shape):
    theirs = to_released(tiny_model("pretrain").state_dict())
    found = from_released(theirs | {"quantizer.vars": torch.ones(shape)}).tensors["quantizer.codebook"]
    with pytest.raises(CheckpointError, match="quantizer.codebook"):
        tiny_model("pretrain").load_state_dict(from_released(theirs).tensors | {"quantizer.codebook": found})


def test_an_embedding_without_its_statistics_is_named():
    ours = tiny_model("s2c", speaker_embedding_dim=8).state_dict()
    del ours["speaker_head.embedding.2.running_mean"]
    with pytest.raises(CheckpointError, match="has speaker_head.embedding.1.bias .* without speaker_head.embedding"):
        to_released(ours)
