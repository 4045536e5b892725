"""Incremental language model scores against scores of whole prefixes."""

import pytest
import torch
from fairseq.data import Dictionary

from speecht5_fairseq.generation.language_model import FusedLanguageModel, check_same_symbols


def dictionary_of(*symbols):
    dictionary = Dictionary()
    for symbol in symbols:
        dictionary.add_symbol(symbol)
    return dictionary


def test_incremental_scores_are_those_of_the_whole_prefix(toy, make_language_model):
    """Rows are reordered, repeated and dropped on the way, as a beam search does."""
    model = make_language_model(toy.dictionary)
    state = FusedLanguageModel(model, toy.dictionary).start()
    prefix = torch.full((6, 1), toy.eos)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for rows in ([0, 0, 2, 5, 3, 1], [5, 4, 4, 0], [3, 3, 1, 0], [1, 0]):
            log_probs = state.next_log_probs(prefix)
            expected = model(prefix)[0][:, -1].log_softmax(-1)
            torch.testing.assert_close(log_probs[:, :-2], expected, rtol=0, atol=1e-5)
            assert log_probs.shape == (len(prefix), len(toy.dictionary))
            assert log_probs[:, -2:].eq(0).all()
            state.select(torch.tensor(rows))
            token = torch.randint(3, 6, (len(rows), 1), generator=generator)
            prefix = torch.cat([prefix[rows], token], 1)


def test_longest_output(toy, make_language_model):
    assert FusedLanguageModel(make_language_model(toy.dictionary, positions=12), toy.dictionary).max_output == 11


@pytest.mark.parametrize(
    "theirs",
    [("a", "b"), ("a", "b", "<mask>", "<ctc_blank>"), ("a", "b", "madeupword0000", "madeupword0001")],
)
def test_dictionaries_that_match(theirs):
    check_same_symbols(dictionary_of(*theirs), dictionary_of("a", "b", "<mask>", "<ctc_blank>"))


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        (("b", "a"), "entry 4 is 'b' there and 'a' here"),
        (("a",), "ends after 5 entries, ours has 6"),
        (("a", "b", "c"), "1 more entries, the first is 'c'"),
    ],
)
def test_dictionaries_that_differ(theirs, reason):
    with pytest.raises(ValueError, match=f"{reason}.*fairseq-preprocess --srcdict"):
        check_same_symbols(dictionary_of(*theirs), dictionary_of("a", "b", "<mask>", "<ctc_blank>"))


def test_a_model_that_cannot_decode_step_by_step(toy):
    model = torch.nn.Module()
    model.decoder = torch.nn.Linear(1, 1)
    with pytest.raises(TypeError, match="not incremental.*transformer_lm"):
        FusedLanguageModel(model, toy.dictionary)
