"""The model of identification: which nets it has, the same alone and in a batch, checkpoints and their classes."""

import math

import pytest
import torch
from helpers import CLASSES, LARGE_LAYOUT, alone, model_over, speech_source, tiny_base, tiny_config, tiny_model

from speecht5_fairseq.models import SpeechT5Model
from speecht5_fairseq.models.checkpoint import DictionaryFiles, Start
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.jobs import JOBS
from speecht5_fairseq.models.loading import check_nets
from speecht5_fairseq.models.options import check_options

POOLINGS = ("decoder", "mean", "attentive")
BODY = {"encoder", "speech_encoder_prenet", "speaker_head", "classes"}


def nets(model):
    return {name.split(".")[0] for name in model.state_dict()}


def test_only_the_nets_of_the_job_are_built():
    assert nets(tiny_model("s2c")) == BODY | {"decoder"}
    for pooling in ("mean", "attentive"):
        assert nets(tiny_model("s2c", speaker_pooling=pooling)) == BODY
    assert tiny_model("s2t").speaker_head is None and tiny_model("s2t").classes is None
    assert tiny_model("s2t", speaker_pooling="mean").decoder is not None  # of identification alone


def test_the_decoder_steps_once_on_a_zero_vector():
    model = tiny_model("s2c").eval()
    output = model(**speech_source(4000))
    encoded = output.encoded
    decoded = model.decoder(torch.zeros(1, 1, 24), encoded.states, None).states
    torch.testing.assert_close(output.speaker.embedding, decoded[:, 0])
    torch.testing.assert_close(output.speaker.logits, decoded[:, 0] @ model.speaker_head.projection.weight.T)


@pytest.mark.parametrize("layout", [{}, LARGE_LAYOUT], ids=["base", "large"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_alone_and_in_a_batch(pooling, layout):
    options = {"speaker_pooling": pooling, "speaker_embedding_dim": 5, "speaker_loss": "aam"}
    model = tiny_model("s2c", **options, **layout).eval()
    for garbage in (0.0, 1e3):
        source = speech_source(4000, 9117, 6400, garbage=garbage)
        batch = model(**source).speaker
        for row in range(3):
            single = model(**alone(source, row)).speaker
            torch.testing.assert_close(batch.logits[row : row + 1], single.logits, atol=2e-5, rtol=0)
            torch.testing.assert_close(batch.embedding[row : row + 1], single.embedding, atol=2e-5, rtol=0)


def test_identification_starts_from_pre_training(caplog):
    pretrained = tiny_model("pretrain", seed=1).state_dict()
    for pooling in POOLINGS:
        model = tiny_model("s2c", speaker_pooling=pooling)
        model.load_state_dict(pretrained)
        assert "new, not from the checkpoint (initial values): speaker_head, classes" in caplog.text
        torch.testing.assert_close(model.encoder.state_dict(), tiny_model("pretrain", seed=1).encoder.state_dict())


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_checkpoint_comes_back(pooling):
    saved = tiny_model("s2c", speaker_pooling=pooling, seed=1)
    model = tiny_model("s2c", speaker_pooling=pooling, seed=2)
    model.load_state_dict(saved.state_dict())
    source = speech_source(4000)
    torch.testing.assert_close(model.eval()(**source).speaker.logits, saved.eval()(**source).speaker.logits)


def test_a_model_without_decoder_is_no_start_for_one_that_has_it_but_its_encoder_is():
    saved, model = tiny_model("s2c", speaker_pooling="mean", seed=1).state_dict(), tiny_model("s2t")
    with pytest.raises(CheckpointError, match="has no decoder: it tells speakers .*--finetune-nets encoder,speech_enc"):
        model.load_state_dict(saved)
    model.start = Start(nets="encoder,speech_encoder_prenet")
    model.load_state_dict(saved)
    for name, value in model.state_dict().items():
        if name.startswith(("encoder.", "speech_encoder_prenet.")):
            assert torch.equal(value, saved[name]), name
    model.start = Start(nets="encoder,decoder")
    with pytest.raises(CheckpointError, match="--finetune-nets decoder: there is no decoder here"):
        model.load_state_dict(saved)


def with_classes(classes):
    torch.manual_seed(len(classes))
    return SpeechT5Model(tiny_config(), JOBS["s2c"], symbols=[], padding=0, units=0, classes=classes)


@pytest.mark.parametrize("nets", ["speaker_head", "encoder speaker_head.projection"])
def test_a_selected_head_brings_its_classes(nets):
    """Of the same names in another order every row would be another speaker's, and nothing would tell."""
    model = with_classes(CLASSES[::-1])
    model.start = Start(nets=nets)
    with pytest.raises(
        CheckpointError, match=r"\(in another order\); take .*with a new head: .*--new-nets speaker_head"
    ):
        model.load_state_dict(with_classes(CLASSES).state_dict())


def test_a_selection_without_the_head_takes_any_classes():
    saved, model = with_classes(CLASSES[:3]).state_dict(), with_classes(CLASSES)
    head = model.speaker_head.projection.weight.clone()
    model.start = Start(nets="encoder,decoder,speech_encoder_prenet")
    model.load_state_dict(saved)
    assert torch.equal(model.speaker_head.projection.weight, head)
    assert torch.equal(model.encoder.layer_norm.weight, saved["encoder.layer_norm.weight"])


@pytest.mark.parametrize(
    "classes, said",
    [((*CLASSES[:4], "zoe"), "5 classes here, 5 in the checkpoint .*emil, zoe on one side only"),
     (CLASSES[:4], "4 classes here, 5 in .*emil on one side only"), (CLASSES[::-1], ".*in another order")],
)  # fmt: skip
def test_classes_of_another_checkpoint(classes, said):
    model = SpeechT5Model(tiny_config(), JOBS["s2c"], symbols=[], padding=0, units=0, classes=classes)
    saved = tiny_model("s2c").state_dict()
    with pytest.raises(CheckpointError, match=f"data/dict.txt: {said}.*; take the dict.txt that it was trained with"):
        check_nets(model, saved, DictionaryFiles(classes="data/dict.txt"))


def checked(caplog, **options):
    model = tiny_model("s2c", **options)
    check_options(tiny_config(**options), type(tiny_config()), JOBS["s2c"], model)
    return [line for line in caplog.messages if "speaker" in line or "decoder" in line.split(";")[0]]


def test_options_without_effect_are_named(caplog):
    checked(caplog, speaker_margin=0.3, speaker_scale=9.0, speaker_attention_dim=7)
    assert "no effect: --speaker-margin 0.3, --speaker-scale 9.0; they need --speaker-loss am or aam" in caplog.text
    assert "no effect: --speaker-attention-dim 7; it needs --speaker-pooling attentive" in caplog.text
    caplog.clear()
    options = {"speaker_loss": "am", "speaker_pooling": "attentive", "speaker_attention_dim": 7, "speaker_margin": 0.3}
    checked(caplog, **options, freeze_decoder_updates=5)
    assert "speaker" not in caplog.text
    assert "--freeze-decoder-updates 5; this job builds no decoder" in caplog.text
    caplog.clear()
    check_options(tiny_config(speaker_loss="am"), type(tiny_config()), JOBS["s2t"], tiny_model("s2t"))
    assert "no effect: --speaker-loss am; this job builds no speaker_head" in caplog.text


@pytest.mark.parametrize(
    "name, value", [("margin", -0.1), ("scale", 0.0), ("embedding_dim", -1), ("attention_dim", 0), ("margin", math.nan)]
)
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"--speaker-{name.replace('_', '-')} {value}: give"):
        tiny_model("s2c", **{f"speaker_{name}": value})


@pytest.mark.parametrize("options", [{"lora_rank": 2}, {"adapter_dim": 3}])
def test_additions_go_to_what_is_built(tmp_path, options):
    base, mean = tiny_base(tmp_path / "base.pt"), {"speaker_pooling": "mean"}
    names = set(model_over(base, "s2c", **mean, **options).state_dict())
    assert any(name.startswith("encoder.layers.1.") for name in names) and "speaker_head.projection.weight" in names
    with pytest.raises(ValueError, match="--adapter-parts 'decoder': this job builds no decoder; give encoder"):
        model_over(base, "s2c", adapter_parts="decoder", **mean, **options)
    with pytest.raises(ValueError, match="--train-nets classes: no such net in this job; choose from encoder, speak"):
        model_over(base, "s2c", train_nets="classes", **mean, **options)
    left = model_over(tiny_base(tmp_path / "s2t.pt", "s2t"), "s2c", **mean, **options).base.left
    assert left == ("ctc_head", "decoder", "text_decoder_postnet", "text_decoder_prenet")
