"""CTC prefix scores against sums over all alignments, and against the recursion written out frame by frame."""

import itertools
import math

import pytest
import torch

from speecht5_fairseq.generation import ctc_prefix
from speecht5_fairseq.generation.ctc_prefix import CTCPrefixScorer

BLANK, EOS = 4, 2  # of a vocabulary of 5: 0 padding, 1 and 3 are symbols


def random_log_probs(*shape, seed=0, scale=2.0):
    logits = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale
    return logits.log_softmax(-1)


def all_labellings(log_probs):
    """Probability of every label sequence: {labels: p}, the sum over all V ** T paths of one utterance (T, V)."""
    totals = {}
    for path in itertools.product(range(log_probs.size(1)), repeat=log_probs.size(0)):
        labels = tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK)
        probability = math.exp(sum(log_probs[t, symbol].item() for t, symbol in enumerate(path)))
        totals[labels] = totals.get(labels, 0.0) + probability
    return totals


def brute_force(totals, hypothesis):
    """log psi of every extension of `hypothesis`, end-of-sentence included, from the table of all labellings."""
    size, scores = len(hypothesis), torch.full((5,), -torch.inf, dtype=torch.float64)
    for symbol in range(5):
        wanted = (*hypothesis, symbol)
        mass = sum(p for labels, p in totals.items() if labels[: size + 1] == wanted)
        scores[symbol] = math.log(mass) if mass > 0 else -torch.inf
    whole = totals.get(tuple(hypothesis), 0.0)
    scores[EOS] = math.log(whole) if whole > 0 else -torch.inf
    scores[[0, BLANK]] = -torch.inf
    return scores


def spell(scorer, hypotheses):
    """State of the hypotheses of each utterance (a list a beam place), all of the same length."""
    state = scorer.initial_state(len(hypotheses[0]))
    parent = torch.arange(len(hypotheses[0])).expand(len(hypotheses), -1)
    for step in range(len(hypotheses[0][0])):
        state = scorer.advance(state, parent, torch.tensor([[h[step] for h in beam] for beam in hypotheses]))
    return state


def scorer_of(log_probs, lengths):
    return CTCPrefixScorer(log_probs, torch.tensor(lengths), BLANK, EOS, forbidden=(0,))


HYPOTHESES = [[()], [(1,), (3,)], [(1, 1), (1, 3), (3, 1), (3, 3)], [(1, 1, 1), (3, 1, 1), (3, 1, 3), (1, 3, 3)]]


@pytest.mark.parametrize("hypotheses", HYPOTHESES)
@pytest.mark.parametrize("impossible", [False, True])
def test_all_alignments_of_a_padded_batch(hypotheses, impossible):
    """Repeated symbols, utterances too short for their hypotheses, frames where a symbol cannot be."""
    log_probs, lengths = random_log_probs(3, 5, 5), [5, 2, 4]
    if impossible:
        log_probs[0, 1, 1] = log_probs[0, 3, BLANK] = log_probs[2, 0, 3] = log_probs[2, 2, 1] = -torch.inf
        log_probs = log_probs.log_softmax(-1)
    log_probs[1, 2:] = torch.nan  # padding is never read
    scorer = scorer_of(log_probs, lengths)
    scores = scorer.extend(spell(scorer, [hypotheses] * 3))
    for utterance, length in enumerate(lengths):
        totals = all_labellings(log_probs[utterance, :length])
        expected = torch.stack([brute_force(totals, hypothesis) for hypothesis in hypotheses])
        torch.testing.assert_close(scores[utterance], expected, rtol=0, atol=1e-10)


def by_frames(log_probs, hypothesis):
    """Algorithm 2 of Watanabe et al. 2017 for one hypothesis, a loop over frames: log psi (V,), and log p(h)."""
    frames, log_zero = len(log_probs), torch.tensor(-torch.inf, dtype=torch.float64)
    nonblank = [log_zero] * (frames + 1)
    blank = [log_probs[:t, BLANK].sum() for t in range(frames + 1)]
    last = BLANK
    for symbol in hypothesis:
        new_nonblank, new_blank = [log_zero], [log_zero]
        for t in range(frames):
            phi = blank[t] if symbol == last else torch.logaddexp(nonblank[t], blank[t])
            new_nonblank.append(torch.logaddexp(new_nonblank[t], phi) + log_probs[t, symbol])
            new_blank.append(torch.logaddexp(new_blank[t], new_nonblank[t]) + log_probs[t, BLANK])
        nonblank, blank, last = new_nonblank, new_blank, symbol
    scores = torch.empty(log_probs.size(1), dtype=torch.float64)
    for symbol in range(log_probs.size(1)):
        phis = [b if symbol == last else torch.logaddexp(n, b) for n, b in zip(nonblank, blank, strict=True)]
        scores[symbol] = (torch.stack(phis[:-1]) + log_probs[:, symbol]).logsumexp(0)
    scores[EOS] = torch.logaddexp(nonblank[-1], blank[-1])
    scores[[0, BLANK]] = -torch.inf
    return scores


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0], ids=["flat", "peaky", "beyond float64's exponents"])
def test_long_utterances(scale):
    log_probs, lengths = random_log_probs(2, 300, 5, scale=scale), [300, 211]
    hypothesis = torch.randint(2, (12,), generator=torch.Generator().manual_seed(1)).mul(2).add(1).tolist()
    scorer = scorer_of(log_probs, lengths)
    scores = scorer.extend(spell(scorer, [[hypothesis]] * 2))
    for utterance, length in enumerate(lengths):
        expected = by_frames(log_probs[utterance, :length], hypothesis)
        torch.testing.assert_close(scores[utterance, 0], expected, rtol=1e-11, atol=1e-8)


@pytest.mark.parametrize("chunk", [2**22, 12])
def test_candidates_whose_probability_float64_cannot_hold(monkeypatch, chunk):
    """e**-900 is zero in float64: such scores are recomputed in the log domain, whatever is held at a time."""
    monkeypatch.setattr(ctc_prefix, "RECOMPUTED_ELEMENTS", chunk)
    log_probs = random_log_probs(2, 12, 5, seed=9)
    log_probs[:, :, 3] -= 900
    log_probs[:, 4:, 1] -= 1500
    log_probs[0, :2, 3] = -torch.inf
    scorer = scorer_of(log_probs, [12, 6])
    hypotheses = [(), (1,), (3,), (1, 3)]
    for place, length in enumerate([12, 6]):
        for hypothesis in hypotheses:
            scores = scorer.extend(spell(scorer, [[hypothesis, hypothesis]] * 2))[place]
            expected = by_frames(log_probs[place, :length], hypothesis).expand(2, -1)
            torch.testing.assert_close(scores, expected, rtol=1e-12, atol=1e-9)


def test_a_frame_where_a_symbol_cannot_be_does_not_spoil_the_frames_after_it():
    log_probs = random_log_probs(1, 120, 5)
    log_probs[0, torch.arange(0, 120, 7), 1] = -torch.inf
    log_probs[0, torch.arange(3, 120, 11), BLANK] = -torch.inf
    log_probs[0, 60:64, 3] = -torch.inf
    scorer = scorer_of(log_probs, [120])
    scores = scorer.extend(spell(scorer, [[(1, 3, 3, 1, 1)]]))
    torch.testing.assert_close(scores[0, 0], by_frames(log_probs[0], (1, 3, 3, 1, 1)), rtol=1e-11, atol=1e-8)


def test_the_end_of_sentence_score_is_the_ctc_likelihood():
    log_probs, lengths = random_log_probs(4, 60, 5, seed=3), torch.tensor([60, 41, 7, 22])
    labels = torch.tensor([[1, 1, 3, 3, 1]] * 4)
    loss = torch.nn.functional.ctc_loss(
        log_probs.transpose(0, 1), labels, lengths, torch.full((4,), 5), blank=BLANK, reduction="none"
    )
    scorer = CTCPrefixScorer(log_probs, lengths, BLANK, EOS, forbidden=(0,))
    scores = scorer.extend(spell(scorer, [[tuple(labels[0].tolist())]] * 4))
    torch.testing.assert_close(scores[:, 0, EOS], -loss, rtol=0, atol=1e-9)


def test_a_batch_scores_as_its_utterances_alone():
    log_probs, lengths = random_log_probs(3, 50, 5, seed=5).float(), [33, 50, 2]
    hypotheses = [[(1, 3), (3, 3)], [(1, 1), (1, 3)], [(3, 1), (1, 3)]]
    together = scorer_of(log_probs, lengths)
    scores = together.extend(spell(together, hypotheses))
    for place, length in enumerate(lengths):
        alone = scorer_of(log_probs[place : place + 1, :length], [length])
        expected = alone.extend(spell(alone, hypotheses[place : place + 1]))
        torch.testing.assert_close(scores[place : place + 1], expected, rtol=0, atol=1e-12)


def test_dropped_utterances_leave_the_others_as_they_were():
    log_probs, lengths = random_log_probs(3, 20, 5, seed=6), [20, 9, 14]
    scorer, kept = scorer_of(log_probs, lengths), torch.tensor([0, 2])
    state = spell(scorer, [[(1,), (3,)]] * 3)
    expected = scorer.extend(state)[kept]
    scorer.keep_utterances(kept)
    torch.testing.assert_close(scorer.extend(state.keep_utterances(kept, scorer.frames)), expected, rtol=0, atol=0)


def test_frames_of_dropped_utterances_are_dropped_too():
    """Where the longest is finished first, the others do not go on over its frames."""
    log_probs, lengths = random_log_probs(3, 50, 5, seed=6), [14, 50, 20]
    scorer, kept = scorer_of(log_probs, lengths), torch.tensor([0, 2])
    state = spell(scorer, [[(1,), (3,)]] * 3)
    expected = scorer.extend(state)[kept]
    scorer.keep_utterances(kept)
    state = state.keep_utterances(kept, scorer.frames)
    assert scorer.frames == 20 and scorer.probs.size(1) == scorer.log_probs.size(2) == scorer.padded.size(1) == 20
    assert state.either.size(2) == state.blank.size(2) == 21 and state.emissions.size(2) == 20
    torch.testing.assert_close(scorer.extend(state), expected, rtol=0, atol=1e-12)


def test_only_kept_candidates_have_states():
    """Of the B x K x V candidates that are scored, the forward variables of B x K are ever made."""
    scorer = scorer_of(random_log_probs(2, 30, 5), [30, 20])
    state, rows = scorer.initial_state(3), []
    accumulate = scorer._accumulate
    scorer._accumulate = lambda incoming, emissions: rows.append(incoming.shape) or accumulate(incoming, emissions)
    for _ in range(2):
        scorer.extend(state)
        state = scorer.advance(state, torch.tensor([[0, 1, 1]] * 2), torch.tensor([[1, 3, 1]] * 2))
    assert rows == [(2, 3, 30)] * 4


def test_several_children_of_one_parent():
    log_probs = random_log_probs(1, 12, 5, seed=7)
    scorer = scorer_of(log_probs, [12])
    state = spell(scorer, [[(1,), (3,)]])
    state = scorer.advance(state, torch.tensor([[1, 1, 0]]), torch.tensor([[3, 1, 1]]))
    expected = torch.stack([by_frames(log_probs[0], hypothesis) for hypothesis in [(3, 3), (3, 1), (1, 1)]])
    torch.testing.assert_close(scorer.extend(state)[0], expected, rtol=0, atol=1e-10)


def test_a_masked_symbol_does_not_cost_precision():
    """Models mask logits with float32's lowest number; it counts as impossible and must not enter any sum."""
    log_probs = random_log_probs(1, 40, 5, seed=8)
    log_probs[0, ::3, 3] = torch.finfo(torch.float32).min
    reference = log_probs.masked_fill(log_probs < -1e30, -torch.inf)
    scorer = scorer_of(log_probs.float(), [40])
    scores = scorer.extend(spell(scorer, [[(1, 3)]]))
    torch.testing.assert_close(scores[0, 0], by_frames(reference[0].float().double(), (1, 3)), rtol=0, atol=1e-10)


@pytest.mark.parametrize("lengths", [[4], [4, 9]])
def test_shapes_that_do_not_fit(lengths):
    with pytest.raises(ValueError, match="lengths"):
        scorer_of(random_log_probs(2, 8, 5), lengths)
