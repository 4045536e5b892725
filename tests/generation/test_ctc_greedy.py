"""Greedy CTC decoding against the definition, one utterance at a time."""

import itertools

import pytest
import torch
from fairseq.data import Dictionary

from speecht5_fairseq.generation.ctc_greedy import CTCGreedySearch, ctc_greedy

BLANK, EOS = 4, 2


def collapse(path):
    return [symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK]


def test_repeats_blanks_and_padding():
    paths = [[4, 1, 1, 4, 1, 3, 3], [4, 4, 4, 0, 0, 0, 0], [3, 3, 4, 3, 1, 1, 1]]
    lengths = torch.tensor([7, 3, 5])
    log_probs = torch.nn.functional.one_hot(torch.tensor(paths), 5).float().mul(9).log_softmax(-1)
    output = ctc_greedy(log_probs, lengths, BLANK, EOS, forbidden=(0,))
    assert output.tokens.tolist() == [[1, 1, 3, EOS], [EOS] * 4, [3, 3, 1, EOS]]
    assert output.lengths.tolist() == [3, 0, 3]


def test_random_paths():
    generator = torch.Generator().manual_seed(0)
    log_probs = torch.randn(16, 40, 6, generator=generator).log_softmax(-1)
    lengths = torch.randint(0, 41, (16,), generator=generator)
    log_probs[torch.arange(40) >= lengths[:, None]] = torch.nan  # padding is never read
    output = ctc_greedy(log_probs, lengths, BLANK, EOS, forbidden=(0,))
    for place, length in enumerate(lengths.tolist()):
        legal = log_probs[place, :length].clone()
        legal[:, [0, EOS]] = -torch.inf
        expected = collapse(legal.argmax(-1).tolist())
        count = output.lengths[place].item()
        assert output.tokens[place, :count].tolist() == expected
        assert output.tokens[place, count:].eq(EOS).all()
        torch.testing.assert_close(output.scores[place].sum(), legal.amax(-1).sum(), rtol=0, atol=1e-4)
        assert output.scores[place, count + 1 :].eq(0).all()


def test_generator(large_toy):
    sample = large_toy.sample(12, 3, 25)
    search = CTCGreedySearch(large_toy.dictionary)
    found = search.generate([large_toy.model], sample)
    for place, [hypothesis] in enumerate(found):
        [[alone]] = search.generate([large_toy.model], large_toy.alone(sample, place))
        assert hypothesis["tokens"].tolist() == alone["tokens"].tolist()
        assert hypothesis["tokens"][-1] == large_toy.eos
        assert not set(hypothesis["tokens"].tolist()) & set(search.symbols.never)
        torch.testing.assert_close(hypothesis["score"], alone["score"], rtol=0, atol=1e-5)
        total = hypothesis["positional_scores"].sum() / len(hypothesis["tokens"])
        torch.testing.assert_close(total, hypothesis["score"], rtol=0, atol=1e-5)


def test_every_tensor_is_made_where_the_batch_is(large_toy):
    """See the test of this name for the beam search."""
    search, sample = CTCGreedySearch(large_toy.dictionary), large_toy.sample(12, 3, 25)
    expected = search.generate([large_toy.model], sample)
    with torch.device("meta"):
        found = search.generate([large_toy.model], sample)
    for [ours], [theirs] in zip(found, expected, strict=True):
        assert torch.equal(ours["tokens"], theirs["tokens"])


def test_a_dictionary_without_blank():
    with pytest.raises(ValueError, match="no <ctc_blank>.*load_text_dictionary"):
        CTCGreedySearch(Dictionary())


def test_a_model_without_ctc_head(toy):
    toy.model.has_ctc = False
    with pytest.raises(ValueError, match="no CTC head"):
        CTCGreedySearch(toy.dictionary).generate([toy.model], toy.sample(4))
