"""Checkpoints of the same job and of others: whole nets, or an error that names what does not fit."""

import logging

import pytest
import torch
from helpers import UNITS, tiny_config, tiny_dictionary, tiny_model

from speecht5_fairseq.models import SpeechT5Model
from speecht5_fairseq.models.checkpoint import DictionaryFiles, Start
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.jobs import JOBS
from speecht5_fairseq.models.loading import check_file, load_nets
from speecht5_fairseq.models.parts import net_of
from speecht5_fairseq.models.vocabulary import decode, encode

TABLES = ("text_encoder_prenet", "text_decoder_prenet", "text_decoder_postnet")


def with_symbols(symbols, job="s2t"):
    return SpeechT5Model(tiny_config(), JOBS[job], symbols=symbols, padding=1, units=0)


def same(model, checkpoint, net):
    """Whether a net of the model has the checkpoint's values."""
    own = {name: value for name, value in model.state_dict().items() if name.split(".")[0] == net}
    return bool(own) and all(torch.equal(value, checkpoint[name]) for name, value in own.items())


def test_the_same_job_takes_everything(caplog):
    checkpoint = tiny_model("pretrain", seed=1).state_dict()
    model = tiny_model("pretrain", seed=2)
    with caplog.at_level(logging.INFO):
        model.load_state_dict(checkpoint)
    assert all(torch.equal(value, checkpoint[name]) for name, value in model.state_dict().items())
    assert not caplog.messages  # a resumed run has nothing to report


def test_fine_tuning_takes_what_it_has_and_reports_the_rest(caplog):
    checkpoint, model = tiny_model("pretrain", seed=1).state_dict(), tiny_model("s2t", seed=2)
    head = model.ctc_head.projection.weight.clone()
    with caplog.at_level(logging.INFO):
        model.load_state_dict(checkpoint)
    for net in ("encoder", "decoder", "speech_encoder_prenet", "text_decoder_prenet", "text_decoder_postnet"):
        assert same(model, checkpoint, net)
    assert torch.equal(model.ctc_head.projection.weight, head)
    assert caplog.messages == [
        "loaded from the checkpoint: speech_encoder_prenet, encoder, text_decoder_prenet, decoder, "
        "text_decoder_postnet",
        "new, not from the checkpoint (initial values): ctc_head",
        "left in the checkpoint, not used here: text_encoder_prenet, quantizer, speech_decoder_prenet, "
        "speech_decoder_postnet, unit_head",
    ]


def test_decoding_needs_every_net(caplog):
    """A model that is decoded must not have nets that nobody trained; what travels with the nets may be absent."""
    model = tiny_model("s2t")
    whole = model.state_dict()
    model.whole = True
    model.load_state_dict({name: value for name, value in whole.items() if name != "vocabulary.symbols"})
    with pytest.raises(CheckpointError, match="the checkpoint has no ctc_head, which this job needs"):
        model.load_state_dict(tiny_model("pretrain").state_dict())


# The pre-net of recognition is the tied embedding and nothing else, which its post-net has too.
NETS = sorted({(job, net_of(name)) for job in JOBS for name, _ in tiny_model(job).named_parameters()})
NETS.remove(("s2t", "text_decoder_prenet"))


@pytest.mark.parametrize("job, net", NETS)
def test_every_net_of_every_job_is_needed(job, net, tmp_path):
    """In decoding, and where a run goes on."""
    model = tiny_model(job)
    rest = {name: value for name, value in model.state_dict().items() if net_of(name) != net}
    model.whole = True
    with pytest.raises(CheckpointError, match=f"has no .*{net}"):
        model.load_state_dict(rest)
    torch.save({"model": rest}, tmp_path / "rest.pt")
    with pytest.raises(CheckpointError, match=f"^the checkpoint {tmp_path}/rest.pt has no .*{net}"):
        check_file(model, tmp_path / "rest.pt", DictionaryFiles(), whole=True)


@pytest.mark.parametrize("job", JOBS)
def test_every_tensor_of_every_job_is_needed(job):
    """At a start of fine-tuning too: a net is taken whole or is new whole. Names that travel may be absent."""
    model = tiny_model(job)
    whole = model.state_dict()
    tied = {f"{table}.embedding.weight" for table in TABLES} & whole.keys()
    spare = {"vocabulary.symbols", "classes.symbols"} | (tied if len(tied) > 1 else set())
    for start in (None, Start()):
        model.whole, model.start = start is None, start
        for name in whole.keys() - spare:
            rest = {other: value for other, value in whole.items() if other != name}
            net = net_of(name)
            if start is not None and not any(net_of(other) == net for other in rest):
                continue  # the whole net is new, and said to be
            with pytest.raises(CheckpointError, match=name.split(".")[0]):
                model.load_state_dict(rest)


@pytest.mark.parametrize("there, here", [("t2s", "s2t"), ("s2t", "t2s"), ("pretrain", "t2s")])
def test_the_table_of_embeddings_goes_to_every_net_that_holds_it(there, here):
    donor, model = tiny_model(there, seed=1), tiny_model(here, seed=2)
    table = next(getattr(donor, net).embedding.weight for net in TABLES if getattr(donor, net) is not None)
    model.load_state_dict(donor.state_dict())
    for net in TABLES:
        if getattr(model, net) is not None:
            assert torch.equal(getattr(model, net).embedding.weight, table)


def test_speech_alone_loads_into_a_text_job_with_a_new_table():
    checkpoint, model = tiny_model("pretrain_speech", seed=1).state_dict(), tiny_model("s2t", seed=2)
    table = model.text_decoder_prenet.embedding.weight.clone()
    model.load_state_dict(checkpoint)
    assert same(model, checkpoint, "encoder") and torch.equal(model.text_decoder_prenet.embedding.weight, table)


def test_another_vocabulary_is_refused_with_its_first_difference():
    symbols = list(tiny_dictionary().symbols)
    other = [*symbols[:6], "Ä", *symbols[7:]]
    checkpoint = with_symbols(other).state_dict()
    with pytest.raises(CheckpointError) as error:
        with_symbols(symbols).load_state_dict(checkpoint)
    text = str(error.value)
    assert f"{len(symbols)} symbols here, {len(symbols)} in the checkpoint" in text
    assert f"first difference at index 6: {symbols[6]!r} here, 'Ä' there" in text
    assert "Use the dict.txt that the checkpoint was trained with" in text


def test_the_same_symbols_in_another_order_are_refused():
    symbols = list(tiny_dictionary().symbols)
    swapped = [*symbols[:6], symbols[7], symbols[6], *symbols[8:]]
    with pytest.raises(CheckpointError, match="first difference at index 6"):
        with_symbols(symbols).load_state_dict(with_symbols(swapped).state_dict())


def test_a_longer_vocabulary_is_refused_by_its_symbols_and_not_by_shapes():
    symbols = list(tiny_dictionary().symbols)
    with pytest.raises(CheckpointError, match=r"34 symbols here, 35 in the checkpoint \(Zusatz on one side only\)\."):
        with_symbols(symbols).load_state_dict(with_symbols([*symbols, "Zusatz"]).state_dict())


@pytest.mark.parametrize(
    "change, where",
    [
        (lambda symbols: [*symbols[:6], "Ä", *symbols[7:]], "data/dict.txt:3: "),  # four specials before line 1
        (lambda symbols: [*symbols[:-2], "Zusatz", *symbols[-2:]], "data/dict.txt: "),  # ends before that line
    ],
)
def test_another_vocabulary_is_refused_with_the_file_and_its_line(change, where):
    symbols = list(tiny_dictionary().symbols)
    model, checkpoint = with_symbols(symbols), with_symbols(change(symbols)).state_dict()
    model.dictionary_files = DictionaryFiles("data/dict.txt")
    with pytest.raises(CheckpointError, match=f"^{where}the dictionary does not fit the checkpoint: "):
        model.load_state_dict(checkpoint)


def test_other_units_are_refused_with_their_dictionary_and_both_numbers():
    more = {"symbols": list(tiny_dictionary().symbols), "padding": 1, "units": UNITS + 5}
    checkpoint = SpeechT5Model(tiny_config(), JOBS["pretrain"], **more).state_dict()
    model = tiny_model("pretrain")
    model.dictionary_files = DictionaryFiles(units="data/dict.km.txt")
    with pytest.raises(CheckpointError, match="^data/dict.km.txt: 20 units here, 25 in the checkpoint; take the"):
        model.load_state_dict(checkpoint)
    tiny_model("s2t").load_state_dict(checkpoint)  # recognition has no use for the units


def test_a_file_is_checked_as_it_would_be_loaded(tmp_path, caplog):
    path, model = tmp_path / "checkpoint.pt", tiny_model("s2t")
    torch.save({"model": tiny_model("pretrain").state_dict(), "args": None}, path)
    check_file(model, path, DictionaryFiles())
    assert not caplog.messages  # what is left and what is new is said by the load itself
    torch.save({"model": tiny_model("pretrain", embed_dim=48).state_dict()}, path)
    with pytest.raises(CheckpointError, match=f"^the checkpoint {path} does not fit the model; of another size"):
        check_file(model, path, DictionaryFiles())


def test_a_file_that_is_no_checkpoint_is_named(tmp_path):
    path, model = tmp_path / "checkpoint.pt", tiny_model("s2t")
    torch.save({"model": model.state_dict()}, path)
    whole = path.read_bytes()
    for content in (b"", b"junk", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=f"^{path}: no readable checkpoint .*copy it again"):
            check_file(model, path, DictionaryFiles())
    torch.save({"epoch": 3}, path)
    with pytest.raises(CheckpointError, match=f"^{path}: holds no model; give a checkpoint that fairseq-train wrote"):
        check_file(model, path, DictionaryFiles())


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda tensors: tensors.pop("encoder.layers.1.self_attn.q_proj.bias"), "missing: encoder.layers.1.self_attn"),
        (lambda tensors: tensors.update({"decoder.extra": torch.ones(1)}), "not known here: decoder.extra"),
        (
            lambda tensors: tensors.update({"encoder.layer_norm.bias": torch.ones(5)}),
            r"of another size: encoder.layer_norm.bias \(5,\) there, \(24,\) here",
        ),
    ],
    ids=["missing", "extra", "resized"],
)
def test_a_net_fits_as_a_whole_or_not_at_all(change, message):
    checkpoint = tiny_model("s2t").state_dict()
    change(checkpoint)
    with pytest.raises(CheckpointError, match=f"fit the model; {message}.*Give the --arch and the sizes.*inspect"):
        tiny_model("s2t").load_state_dict(checkpoint)


def test_many_wrong_tensors_are_counted():
    checkpoint = tiny_model("s2t", embed_dim=48).state_dict()
    with pytest.raises(CheckpointError, match="of another size: .* and [0-9]+ more"):
        tiny_model("s2t").load_state_dict(checkpoint)


def test_another_model_is_refused_by_its_nets():
    message = "no encoder: it is not a speecht5_fairseq model; its nets are decoder, w2v"
    with pytest.raises(CheckpointError, match=message):
        load_nets(tiny_model("s2t"), {"w2v.x": torch.ones(1), "decoder.y": torch.ones(1)})


def test_loading_does_not_change_the_checkpoint():
    checkpoint = tiny_model("t2s", seed=1).state_dict()
    names = set(checkpoint)
    tiny_model("s2t", seed=2).load_state_dict(checkpoint)
    assert set(checkpoint) == names


def test_symbols_survive_their_tensor():
    symbols = ["<s>", "▁a", "é", "😀", "<ctc_blank>"]
    assert decode(encode(symbols)) == symbols


def test_another_reduction_factor_has_new_layers_of_its_size_and_says_which(caplog):
    """Two frames a step in the checkpoint, one here: the rest of the post-net is taken."""
    checkpoint = tiny_model("s2s", reduction_factor=2, seed=1).state_dict()
    model = tiny_model("s2s", reduction_factor=1, seed=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(checkpoint)
    layers = ("speech_decoder_postnet.feat_out", "speech_decoder_postnet.prob_out")
    new = {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name] if name in new else checkpoint[name]), name
    assert "--reduction-factor is another in the checkpoint, so these are new (initial values): speech" in caplog.text
    assert all(name in caplog.text for name in new)
