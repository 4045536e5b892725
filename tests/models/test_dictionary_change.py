"""A checkpoint of another dictionary, taken symbol by symbol where that is asked for."""

import logging

import pytest
import torch
from helpers import scramble, tiny_config, tiny_dictionary

from speecht5_fairseq.models import SpeechT5Model
from speecht5_fairseq.models.checkpoint import Start
from speecht5_fairseq.models.dictionary_change import compare
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.jobs import JOBS

OLD = list(tiny_dictionary().symbols)
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<ctc_blank>"]
# Others first, some gone, the rest in another order, and another number of them.
NEW = [*OLD[:4], "Ä", "Ö", *reversed(OLD[6:-2]), "Ü", *OLD[-2:]]
CHANGE = Start(new_vocabulary=True)


def model_of(symbols, job="s2t", seed=0):
    torch.manual_seed(seed)
    units = 5 if job == "pretrain" else 0
    return scramble(SpeechT5Model(tiny_config(), JOBS[job], symbols=symbols, padding=1, units=units))


def load(checkpoint, job="s2t", start=CHANGE, symbols=NEW):
    """A model of the new symbols after loading, and its tensors before."""
    model = model_of(symbols, job, seed=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.start = start
    model.load_state_dict(checkpoint)
    return model, before


def test_symbols_are_matched_by_their_name():
    change = compare(["<s>", "b", "new", "a"], ["<s>", "a", "gone", "b"])
    assert change.here.tolist() == [0, 1, 3] and change.there.tolist() == [0, 3, 1]
    assert change.new == ["new"] and change.dropped == ["gone"]


def test_every_row_of_a_symbol_that_stays_is_kept_and_the_others_are_initial():
    checkpoint = model_of(OLD, seed=1).state_dict()
    model, before = load(checkpoint)
    tables = ("text_decoder_prenet.embedding.weight", "ctc_head.projection.weight", "ctc_head.projection.bias")
    for name in tables:
        loaded = model.state_dict()[name]
        for row, symbol in enumerate(NEW):
            expected = checkpoint[name][OLD.index(symbol)] if symbol in OLD else before[name][row]
            assert torch.equal(loaded[row], expected), (name, symbol)
    assert set(SPECIALS) <= set(NEW) & set(OLD)
    assert NEW.index("<ctc_blank>") != OLD.index("<ctc_blank>")


def test_the_output_stays_tied_and_the_rest_is_taken_whole():
    checkpoint = model_of(OLD, "pretrain", seed=1).state_dict()
    model, before = load(checkpoint)
    assert model.text_decoder_postnet.embedding.weight is model.text_decoder_prenet.embedding.weight
    for name, value in model.state_dict().items():
        if name.startswith(("encoder.", "decoder.", "speech_encoder_prenet.")):
            assert torch.equal(value, checkpoint[name]), name
        if name.startswith("ctc_head."):
            assert torch.equal(value, before[name]), name  # pre-training has none


def test_what_is_saved_after_it_loads_without_being_asked():
    model, _ = load(model_of(OLD, seed=1).state_dict())
    again, _ = load(model.state_dict(), start=None)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())


def test_the_log_counts_and_names_the_symbols(caplog):
    with caplog.at_level(logging.INFO):
        load(model_of(OLD, seed=1).state_dict())
    assert (
        f"--new-vocabulary: the rows of {len(OLD) - 2} symbols are kept, 3 symbols are new (initial values): Ä, Ö, Ü, "
        f"2 are dropped: {OLD[4]}, {OLD[5]}"
    ) in caplog.messages


def test_long_lists_are_cut(caplog):
    more = [*OLD[:-2], *(f"n{number}" for number in range(20)), *OLD[-2:]]
    with caplog.at_level(logging.INFO):
        load(model_of(OLD, seed=1).state_dict(), symbols=more)
    assert (
        "20 symbols are new (initial values): n0, n1, n2, n3, n4, n5, n6, n7 and 12 more, 0 are dropped" in caplog.text
    )


def test_the_same_dictionary_and_a_model_without_text_are_told(caplog):
    with caplog.at_level(logging.INFO):
        load(model_of(OLD, seed=1).state_dict(), symbols=OLD)
    assert f"the rows of {len(OLD)} symbols are kept, 0 symbols are new (initial values), 0 are dropped" in caplog.text
    caplog.clear()
    speech = Start(new_vocabulary=True, new_nets="speech_decoder_prenet,speech_decoder_postnet")
    load(model_of(OLD, seed=1).state_dict(), job="s2s", start=speech)
    assert "no effect: --new-vocabulary; the model or the checkpoint has no text" in caplog.text
    caplog.clear()
    load(model_of(OLD, seed=1).state_dict(), start=Start(nets="encoder", new_vocabulary=True))
    assert "no effect: --new-vocabulary; nothing that is taken has a row for each symbol" in caplog.text
    assert "are kept" not in caplog.text


@pytest.mark.parametrize(
    "start, ending", [(Start(), ", or add --new-vocabulary to keep the rows"), (None, "trained with")]
)
def test_nobody_asked_for_it(start, ending):
    with pytest.raises(CheckpointError, match=r"dict.txt:1: the dictionary does not fit") as error:
        load(model_of(OLD).state_dict(), start=start)
    assert ending in str(error.value)
    assert ("--new-vocabulary" in str(error.value)) == (start is not None)


def test_a_table_of_another_width_is_still_refused():
    torch.manual_seed(1)
    wide = SpeechT5Model(tiny_config(embed_dim=48), JOBS["s2t"], symbols=OLD, padding=1, units=0)
    with pytest.raises(CheckpointError, match="of another size"):
        load(wide.state_dict())
