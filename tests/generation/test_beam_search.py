"""Joint beam search against exhaustive enumeration, against fairseq's own search, and against itself alone."""

import logging

import pytest
import torch
from fairseq.sequence_generator import SequenceGenerator
from torch import nn

from speecht5_fairseq.generation.beam_search import JointBeamSearch
from speecht5_fairseq.generation.ctc_prefix import CTCPrefixScorer

EXHAUSTIVE = 40  # more than the outputs of up to three symbols out of three


def language_model_score(model, eos, tokens):
    with torch.no_grad():
        log_probs = model(torch.tensor([[eos, *tokens[:-1]]]))[0].log_softmax(-1)[0]
    return sum(log_probs[step, token].item() for step, token in enumerate(tokens))


def best_outputs(scores):
    """[(tokens, score)], best first, without impossible outputs."""
    possible = [(tokens, score) for tokens, score in scores.items() if score > -1e30]
    return sorted(possible, key=lambda pair: -pair[1])


def assert_same(found, expected, atol=1e-5):
    assert [tuple(h["tokens"].tolist()) for h in found] == [tokens for tokens, _ in expected]
    scores = torch.stack([h["score"] for h in found])
    torch.testing.assert_close(scores, torch.tensor([score for _, score in expected]), rtol=0, atol=atol)


@pytest.mark.parametrize("lm_weight", [0.0, 0.6])
@pytest.mark.parametrize("ctc_weight", [0.0, 0.3, 1.0])
def test_a_beam_that_holds_all_outputs_finds_the_best(toy, make_language_model, ctc_weight, lm_weight):
    """All hypotheses of every utterance, in order, and their scores: nothing is lost, nothing scored twice."""
    sample = toy.sample(6, 2, 9)
    lm = make_language_model(toy.dictionary) if lm_weight else None
    search = JointBeamSearch(
        toy.dictionary, beam=EXHAUSTIVE, ctc_weight=ctc_weight, language_model=lm, lm_weight=lm_weight, max_len_b=3,
        unk_penalty=0.7, len_penalty=0.8,
    )  # fmt: skip
    for place, found in enumerate(search.generate([toy.model], sample)):
        alone, scores = toy.alone(sample, place), {}
        for tokens in toy.all_outputs(longest=3):
            total = -0.7 * tokens.count(toy.dictionary.unk())
            total += (1 - ctc_weight) * toy.decoder_score(alone, tokens)
            total += ctc_weight * toy.ctc_score(alone, tokens) if ctc_weight else 0.0
            total += lm_weight * language_model_score(lm, toy.eos, tokens) if lm else 0.0
            scores[tokens] = total / len(tokens) ** 0.8
        assert_same(found, best_outputs(scores))


def test_temperature_and_no_normalisation(toy):
    sample = toy.sample(5)
    search = JointBeamSearch(toy.dictionary, beam=EXHAUSTIVE, max_len_b=3, temperature=2.0, normalize_scores=False)
    scores = {tokens: toy.decoder_score(sample, tokens, temperature=2.0) for tokens in toy.all_outputs(3)}
    assert_same(search.generate([toy.model], sample)[0], best_outputs(scores))


def test_shortest_output(toy):
    sample = toy.sample(8, 7)
    search = JointBeamSearch(toy.dictionary, beam=EXHAUSTIVE, ctc_weight=0.5, max_len_b=3, min_len=2)
    for found in search.generate([toy.model], sample):
        assert sorted(tuple(h["tokens"].tolist()) for h in found) == sorted(toy.all_outputs(3, shortest=2))


def test_an_empty_output_may_win(toy):
    sample = toy.sample(5)
    search = JointBeamSearch(toy.dictionary, beam=EXHAUSTIVE, ctc_weight=1.0, max_len_b=2, min_len=0)
    scores = {t: toy.ctc_score(sample, t) / len(t) for t in toy.all_outputs(2, shortest=0)}
    assert_same(search.generate([toy.model], sample)[0], best_outputs(scores))


class FairseqToy(nn.Module):
    """The toy model as fairseq's SequenceGenerator calls one: every step recomputes the whole prefix."""

    class Encoder(nn.Module):
        def forward_torchscript(self, net_input):
            samples = torch.tensor([net_input["source"].size(1)] * len(net_input["source"]))
            return self.toy.encode(waveform=net_input["source"], sample_lengths=samples)

        def reorder_encoder_out(self, encoded, order):
            return type(encoded)(*(part[order] for part in encoded[:3]))

    class Decoder(nn.Module):
        def forward(self, tokens, encoder_out):
            state = self.toy.start_decoding(encoder_out)
            steps = [self.toy.next_token_log_probs(tokens[:, step], state) for step in range(tokens.size(1))]
            return torch.stack(steps, 1), None

    def __init__(self, toy):
        super().__init__()
        self.encoder, self.decoder = self.Encoder(), self.Decoder()
        self.encoder.toy = self.decoder.toy = toy

    def get_normalized_probs(self, net_output, log_probs, sample):
        return net_output[0].log_softmax(-1)

    def max_decoder_positions(self):
        return 1000


@pytest.mark.parametrize("beam", [1, 2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_without_ctc_it_is_fairseqs_search(large_toy, beam, seed):
    sample = large_toy.sample(12, 12, 12, seed=seed)
    options = {"max_len_b": 15, "unk_penalty": 0.5, "len_penalty": 0.9, "temperature": 1.3, "min_len": 2}
    fairseq = SequenceGenerator(
        [FairseqToy(large_toy.model)], large_toy.dictionary, beam_size=beam,
        tokens_to_suppress=("<s>", "<mask>", "<ctc_blank>"), **options,
    )  # fmt: skip
    source = sample["net_input"]["waveform"]
    expected = fairseq.generate([], {"net_input": {"source": source, "padding_mask": torch.zeros_like(source).bool()}})
    found = JointBeamSearch(large_toy.dictionary, beam=beam, **options).generate([large_toy.model], sample)
    for ours, theirs in zip(found, expected, strict=True):
        assert_same(ours, [(tuple(h["tokens"].tolist()), h["score"].item()) for h in theirs])
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.keys() == other.keys()
            torch.testing.assert_close(mine["positional_scores"], other["positional_scores"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("lm_weight", [0.0, 0.4])
@pytest.mark.parametrize("ctc_weight", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("beam", [1, 4])
def test_a_batch_decodes_as_its_utterances_alone(large_toy, make_language_model, ctc_weight, lm_weight, beam):
    sample = large_toy.sample(11, 3, 30, 1, 17, 22)
    lm = make_language_model(large_toy.dictionary) if lm_weight else None
    search = JointBeamSearch(
        large_toy.dictionary, beam=beam, ctc_weight=ctc_weight, language_model=lm, lm_weight=lm_weight,
        max_len_a=0.5, max_len_b=3,
    )  # fmt: skip
    together = search.generate([large_toy.model], sample)
    assert len({len(hypotheses[0]["tokens"]) for hypotheses in together}) > 2  # they end at different steps
    for place, found in enumerate(together):
        [alone] = search.generate([large_toy.model], large_toy.alone(sample, place))
        assert_same(found, [(tuple(h["tokens"].tolist()), h["score"].item()) for h in alone])


def test_finished_utterances_leave_the_batch(unending, monkeypatch):
    """Their limits are 4, 3 and 6 tokens: each step runs for those that go on."""
    rows, frames = [], []
    next_token_log_probs, extend = unending.model.next_token_log_probs, CTCPrefixScorer.extend

    def decoder(tokens, state):
        rows.append((len(tokens), len(state.speech)))
        return next_token_log_probs(tokens, state)

    def ctc(scorer, state):
        frames.append(tuple(state.either.shape))
        return extend(scorer, state)

    monkeypatch.setattr(unending.model, "next_token_log_probs", decoder)
    monkeypatch.setattr(CTCPrefixScorer, "extend", ctc)
    search = JointBeamSearch(unending.dictionary, beam=2, ctc_weight=0.1, max_len_a=0.1, max_len_b=1)
    search.generate([unending.model], unending.sample(30, 20, 50))
    assert rows == [(6, 3)] * 4 + [(4, 2)] + [(2, 1)] * 2
    assert frames == [(3, 2, 51)] * 4 + [(2, 2, 51)] + [(1, 2, 51)] * 2


@pytest.mark.parametrize("ctc_weight", [0.0, 0.4, 1.0])
def test_every_tensor_is_made_where_the_batch_is(large_toy, ctc_weight):
    """With another default device, a tensor made on it would meet the batch's tensors and fail, as on a GPU."""
    sample = large_toy.sample(11, 3, 20)
    search = JointBeamSearch(large_toy.dictionary, beam=3, ctc_weight=ctc_weight, max_len_b=6)
    expected = search.generate([large_toy.model], sample)
    with torch.device("meta"):
        found = search.generate([large_toy.model], sample)
    for ours, theirs in zip(found, expected, strict=True):
        assert_same(ours, [(tuple(h["tokens"].tolist()), h["score"].item()) for h in theirs], atol=0)


def test_positional_scores_add_up_to_the_score(large_toy):
    search = JointBeamSearch(large_toy.dictionary, beam=3, ctc_weight=0.3, len_penalty=0.5, max_len_b=10)
    for hypotheses in search.generate([large_toy.model], large_toy.sample(9, 20)):
        for found in hypotheses:
            total = found["positional_scores"].sum() / len(found["tokens"]) ** 0.5
            torch.testing.assert_close(total, found["score"], rtol=0, atol=1e-5)


@pytest.fixture
def unending(large_toy, monkeypatch):
    """A model that ends only when it must."""
    next_token_log_probs = large_toy.model.next_token_log_probs

    def reluctant(tokens, state):
        log_probs = next_token_log_probs(tokens, state)
        log_probs[:, large_toy.eos] -= 1000
        return log_probs

    monkeypatch.setattr(large_toy.model, "next_token_log_probs", reluctant)
    return large_toy


def test_the_limit_counts_encoder_frames(unending):
    """Each output has as many symbols as its own frames allow (at least `min_len`), and then </s>."""
    search = JointBeamSearch(unending.dictionary, beam=2, max_len_a=0.5, max_len_b=1, min_len=3)
    found = search.generate([unending.model], unending.sample(10, 31, 1))
    for limit, hypotheses in zip([6, 16, 3], found, strict=True):
        assert [len(h["tokens"]) for h in hypotheses] == [limit + 1] * 2
        assert all(h["tokens"][-1] == unending.eos and h["score"] < -50 for h in hypotheses)  # </s> is scored


def test_outputs_that_the_limit_ends_are_counted_once(unending, caplog):
    search = JointBeamSearch(unending.dictionary, beam=2, max_len_a=0.5, max_len_b=1)
    for _ in range(2):
        search.generate([unending.model], unending.sample(10, 31, 1))
    (message,) = caplog.messages
    assert message.startswith("the outputs of 3 of the 3 utterances of this batch were ended by their length limit")
    assert "--max-len-a 0.5 x encoder frames + --max-len-b 1 tokens" in message and "raise it" in message


def test_outputs_that_end_by_themselves_are_not_warned_of(toy, caplog):
    search = JointBeamSearch(toy.dictionary, beam=2, ctc_weight=1.0, max_len_b=20)
    found = search.generate([toy.model], toy.sample(5, 4))
    assert all(len(hypotheses[0]["tokens"]) < 20 for hypotheses in found) and not caplog.messages


@pytest.mark.parametrize("ctc_weight", [0.0, 0.5, 1.0])
def test_symbols_that_are_never_produced(large_toy, ctc_weight):
    never = [large_toy.dictionary.index(symbol) for symbol in ("<s>", "<pad>", "<mask>", "<ctc_blank>")]
    with torch.no_grad():
        large_toy.model.out[:, never] += 5
    search = JointBeamSearch(large_toy.dictionary, beam=6, ctc_weight=ctc_weight, max_len_b=8)
    for hypotheses in search.generate([large_toy.model], large_toy.sample(10, 14)):
        assert hypotheses
        for found in hypotheses:
            assert not set(found["tokens"].tolist()) & set(never)
    assert search.symbols_to_strip_from_output == {large_toy.eos, *never}


@pytest.mark.parametrize(("ctc_weight", "unused"), [(1.0, "start_decoding"), (0.0, "ctc_log_probs")])
def test_what_has_no_weight_does_not_run(toy, monkeypatch, ctc_weight, unused):
    def fail(*_):
        raise AssertionError(f"{unused} ran")

    monkeypatch.setattr(toy.model, unused, fail)
    assert JointBeamSearch(toy.dictionary, ctc_weight=ctc_weight).generate([toy.model], toy.sample(6))[0]


def test_positions_of_the_language_model_limit_the_output(unending, make_language_model, caplog):
    lm = make_language_model(unending.dictionary, positions=6)
    search = JointBeamSearch(unending.dictionary, beam=2, language_model=lm, lm_weight=0.1, max_len_b=50)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            [found] = search.generate([unending.model], unending.sample(4))
    assert [len(h["tokens"]) for h in found] == [6, 6]
    assert ["positions of the language model" in message for message in caplog.messages] == [True]


def test_an_utterance_without_any_possible_output(toy, caplog):
    """One frame cannot spell two symbols: the others are not affected, and the output is empty, with a warning."""
    search = JointBeamSearch(toy.dictionary, beam=3, ctc_weight=1.0, min_len=2, max_len_b=4)
    with caplog.at_level(logging.WARNING):
        found = search.generate([toy.model], toy.sample(6, 1))
    assert len(found[0]) == 3
    assert [h["tokens"].tolist() for h in found[1]] == [[toy.eos]]
    assert "utterance 101 has no possible hypothesis" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "--beam 0: give a whole number above 0"),
        ({"ctc_weight": 1.5}, "--ctc-decoding-weight 1.5: give 0 .decoder only. to 1 .CTC only."),
        ({"temperature": 0.0}, "--temperature 0.0: give a number above 0"),
        ({"temperature": float("inf")}, "--temperature inf: give"),
        ({"max_len_a": float("inf")}, "--max-len-a inf: give tokens for each frame of 20 ms, from 0 to 1,000"),
        ({"max_len_a": 1e30}, r"--max-len-a 1e\+30: give"),
        ({"max_len_a": float("nan")}, "--max-len-a nan: give"),
        ({"max_len_b": 10**30}, "--max-len-b 10*: give a number of tokens from 0 to 1,000,000"),
        ({"min_len": -1}, "--min-len -1: give"),
        ({"len_penalty": float("nan")}, "--lenpen nan: give a number"),
        ({"unk_penalty": float("inf")}, "--unkpen inf: give a number"),
        ({"ctc_weight": 1.0, "temperature": 2.0}, "--temperature 2.0 has no effect"),
        ({"lm_weight": 0.5}, "--lm-weight 0.5 without a language model"),
    ],
)
def test_options_out_of_range(toy, options, message):
    with pytest.raises(ValueError, match=message):
        JointBeamSearch(toy.dictionary, **options)


def test_a_language_model_without_weight(toy, make_language_model):
    with pytest.raises(ValueError, match="--lm-weight 0.0 with a language model"):
        JointBeamSearch(toy.dictionary, language_model=make_language_model(toy.dictionary))


def test_outputs_longer_than_the_language_model_can_read(toy, make_language_model):
    lm = make_language_model(toy.dictionary, positions=6)
    with pytest.raises(ValueError, match="--min-len 9 .*at most 5"):
        JointBeamSearch(toy.dictionary, language_model=lm, lm_weight=0.5, min_len=9)


def test_calls_that_are_refused(toy):
    search, sample = JointBeamSearch(toy.dictionary, ctc_weight=0.5), toy.sample(4)
    with pytest.raises(ValueError, match="names 2: average the checkpoints"):
        search.generate([toy.model, toy.model], sample)
    with pytest.raises(ValueError, match="prefix_tokens"):
        search.generate([toy.model], sample, prefix_tokens=torch.zeros(1, 1))
    toy.model.has_ctc = False
    with pytest.raises(ValueError, match="no CTC head"):
        search.generate([toy.model], sample)
