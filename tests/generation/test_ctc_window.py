"""Windowed CTC prefix scores against the recursion written out frame by frame, and against the exact scores."""

import pytest
import torch

from speecht5_fairseq.generation.beam_search import JointBeamSearch
from speecht5_fairseq.generation.ctc_prefix import CTCPrefixScorer
from speecht5_fairseq.generation.ctc_window import WindowedCTCPrefixScorer

BLANK, EOS = 4, 2  # of a vocabulary of 5: 0 padding, 1 and 3 are symbols
ENDLESS = 1e9


def random_log_probs(*shape, seed=0, scale=2.0):
    logits = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale
    return logits.log_softmax(-1)


def peaky_log_probs(*symbols_at, frames, sharpness=8.0):
    """(1, T, 5): blank everywhere but at the (frame, symbol) given."""
    logits = torch.zeros(1, frames, 5, dtype=torch.float64)
    places = {frame: symbol for frame, symbol in symbols_at}
    for frame in range(frames):
        logits[0, frame, places.get(frame, BLANK)] = sharpness
    return logits.log_softmax(-1)


def windowed(log_probs, lengths, window):
    return WindowedCTCPrefixScorer(log_probs, torch.tensor(lengths), BLANK, EOS, window=window, forbidden=(0,))


def exact(log_probs, lengths):
    return CTCPrefixScorer(log_probs, torch.tensor(lengths), BLANK, EOS, forbidden=(0,))


def spell(scorer, hypotheses):
    """State of the hypotheses of each utterance (a list a beam place), all of the same length."""
    state = scorer.initial_state(len(hypotheses[0]))
    parent = torch.arange(len(hypotheses[0])).expand(len(hypotheses), -1)
    for step in range(len(hypotheses[0][0])):
        state = scorer.advance(state, parent, torch.tensor([[h[step] for h in beam] for beam in hypotheses]))
    return state


def by_frames(log_probs, hypothesis, window):
    """log psi (V,) by a loop over frames; entries less likely than the best by more than the window are struck out."""
    frames, log_zero = len(log_probs), torch.tensor(-torch.inf, dtype=torch.float64)

    def struck(nonblank, blank):
        either = [torch.logaddexp(n, b) for n, b in zip(nonblank, blank, strict=True)]
        kept = [value >= max(either) - window for value in either]
        return (
            [value if keep else log_zero for value, keep in zip(part, kept, strict=True)] for part in (either, blank)
        )

    either, blank = struck([log_zero] * (frames + 1), [log_probs[:t, BLANK].sum() for t in range(frames + 1)])
    last = BLANK
    for symbol in hypothesis:
        new_nonblank, new_blank, fed = [log_zero], [log_zero], blank if symbol == last else either
        for t in range(frames):
            new_nonblank.append(torch.logaddexp(new_nonblank[t], fed[t]) + log_probs[t, symbol])
            new_blank.append(torch.logaddexp(new_blank[t], new_nonblank[t]) + log_probs[t, BLANK])
        either, blank = struck(new_nonblank, new_blank)
        last = symbol
    scores = torch.full((5,), -torch.inf, dtype=torch.float64)
    for symbol in (1, 3):
        fed = blank if symbol == last else either
        scores[symbol] = (torch.stack(fed[:-1]) + log_probs[:, symbol]).logsumexp(0)
    scores[EOS] = max(either[t] + log_probs[t:, BLANK].sum() for t in range(frames + 1))
    return scores


@pytest.mark.parametrize("window", [1.0, 4.0, 15.0])
@pytest.mark.parametrize("scale", [1.0, 6.0], ids=["flat", "peaky"])
def test_frame_by_frame(scale, window):
    log_probs, lengths = random_log_probs(3, 60, 5, scale=scale), [60, 23, 41]
    hypotheses = [(1, 3, 3, 1, 1, 3), (3, 3, 1, 1, 1, 3), (1, 3, 1, 3, 1, 3)]
    for size in range(7):
        shorter = [hypothesis[:size] for hypothesis in hypotheses]
        scorer = windowed(log_probs, lengths, window)
        scores = scorer.extend(spell(scorer, [shorter] * 3))
        for utterance, length in enumerate(lengths):
            expected = torch.stack([by_frames(log_probs[utterance, :length], h, window) for h in shorter])
            torch.testing.assert_close(scores[utterance], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0], ids=["flat", "peaky", "beyond float64's exponents"])
def test_a_window_as_long_as_the_utterance_is_exact(scale):
    log_probs, lengths = random_log_probs(3, 120, 5, seed=1, scale=scale), [120, 80, 3]
    log_probs[0, 30, 1] = log_probs[0, 50, BLANK] = -torch.inf
    hypotheses = [(1, 3, 3, 1), (3, 3, 3, 1)]
    wide, reference = windowed(log_probs, lengths, ENDLESS), exact(log_probs, lengths)
    for size in range(5):
        beams = [[h[:size] for h in hypotheses]] * 3
        found, expected = wide.extend(spell(wide, beams)), reference.extend(spell(reference, beams))
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-8)


def test_no_score_is_above_the_exact_one():
    log_probs, lengths = random_log_probs(2, 50, 5, seed=2, scale=4.0), [50, 31]
    beams = [[(1, 3, 1), (3, 1, 1)]] * 2
    narrow, reference = windowed(log_probs, lengths, 3.0), exact(log_probs, lengths)
    found, expected = narrow.extend(spell(narrow, beams)), reference.extend(spell(reference, beams))
    assert (found <= expected + 1e-9).all() and (found < expected - 1e-3).any()


def test_few_frames_are_read_of_a_peaky_utterance():
    places = [(10 * number, 1 + 2 * (number % 2)) for number in range(1, 50)]
    scorer = windowed(peaky_log_probs(*places, frames=500), [500], 20.0)
    state = spell(scorer, [[tuple(symbol for _, symbol in places[:25])]])
    assert state.either.size(2) < 80 and 200 < int(state.first) <= 250 <= int(state.final) < 300


def test_a_pause_is_inside_the_window_whole():
    """A width in frames would lose the symbol after 300 frames of silence, or the end after 300 more."""
    log_probs = peaky_log_probs((20, 1), (320, 3), frames=620, sharpness=12.0)
    narrow, reference = windowed(log_probs, [620], 10.0), exact(log_probs, [620])
    for hypothesis, symbol in (((1,), 3), ((1, 3), EOS)):
        found, expected = (s.extend(spell(s, [[hypothesis]]))[0, 0, symbol] for s in (narrow, reference))
        assert abs(found - expected) < 1e-3 and expected > -1


def test_a_symbol_that_goes_on_for_long_widens_the_window():
    """Where blanks are impossible, blanks alone do not tell how far the newest symbol goes."""
    places = [(frame, 1) for frame in range(5, 60)] + [(80, 3)]
    log_probs = peaky_log_probs(*places, frames=100, sharpness=30.0)
    scorer = windowed(log_probs, [100], 10.0)
    scores = scorer.extend(spell(scorer, [[(1,)]]))
    torch.testing.assert_close(scores[0, 0], by_frames(log_probs[0], (1,), 10.0), rtol=0, atol=1e-9)
    assert scores[0, 0, 3] > -1


def test_an_end_outside_the_window_is_reached_by_blanks_alone():
    log_probs = peaky_log_probs((10, 1), (20, 3), (30, 1), frames=40, sharpness=9.0)
    scorer, reference = windowed(log_probs, [40], 5.0), exact(log_probs, [40])
    found, expected = (s.extend(spell(s, [[(1,)]]))[0, 0, EOS] for s in (scorer, reference))
    assert expected - 3 < found <= expected < -15


def test_neither_the_batch_nor_the_beam_matters():
    log_probs, lengths = random_log_probs(3, 50, 5, seed=5, scale=5.0).float(), [33, 50, 2]
    hypotheses = [[(1, 3), (3, 3)], [(1, 1), (1, 3)], [(3, 1), (1, 3)]]
    together = windowed(log_probs, lengths, 6.0)
    scores = together.extend(spell(together, hypotheses))
    for place, length in enumerate(lengths):
        for rank, hypothesis in enumerate(hypotheses[place]):
            alone = windowed(log_probs[place : place + 1, :length], [length], 6.0)
            expected = alone.extend(spell(alone, [[hypothesis]]))
            torch.testing.assert_close(scores[place, rank], expected[0, 0], rtol=0, atol=1e-12)


def test_dropped_utterances_leave_the_others_as_they_were():
    log_probs, lengths = random_log_probs(3, 40, 5, seed=6, scale=5.0), [40, 9, 24]
    scorer, kept = windowed(log_probs, lengths, 8.0), torch.tensor([1, 2])
    state = spell(scorer, [[(1,), (3,)]] * 3)
    token, parent = torch.tensor([[3, 1], [3, 1]]), torch.tensor([[0, 0], [0, 1]])
    expected = scorer.extend(scorer.advance(state, torch.cat([parent[:1], parent]), torch.cat([token[:1], token])))[1:]
    scorer.keep_utterances(kept)
    state = state.keep_utterances(kept, scorer.frames)
    assert scorer.frames == 25
    torch.testing.assert_close(scorer.extend(scorer.advance(state, parent, token)), expected, rtol=0, atol=1e-12)


def test_candidates_that_only_fill_the_beam_need_no_frames():
    scorer = windowed(peaky_log_probs((10, 1), (20, 3), frames=200), [200], 20.0)
    state = scorer.initial_state(2)
    state = scorer.advance(state, torch.tensor([[0, 0]]), torch.tensor([[1, EOS]]))
    assert state.either[0, 0].isfinite().any() and not state.either[0, 1].isfinite().any()


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("ctc_weight", [0.4, 1.0])
def test_a_batch_decodes_as_its_utterances_alone(large_toy, ctc_weight, beam):
    sample = large_toy.sample(11, 3, 30, 1, 17, 22)
    search = JointBeamSearch(
        large_toy.dictionary, beam=beam, ctc_weight=ctc_weight, ctc_window=6.0, max_len_a=0.5, max_len_b=3
    )
    for place, found in enumerate(search.generate([large_toy.model], sample)):
        [alone] = search.generate([large_toy.model], large_toy.alone(sample, place))
        assert [h["tokens"].tolist() for h in found] == [h["tokens"].tolist() for h in alone]
        for ours, other in zip(found, alone, strict=True):
            torch.testing.assert_close(ours["score"], other["score"], rtol=0, atol=1e-5)


def test_a_search_with_an_endless_window_finds_the_same(large_toy):
    sample = large_toy.sample(11, 3, 30, 17)
    found, expected = (
        JointBeamSearch(large_toy.dictionary, ctc_weight=0.5, ctc_window=window, max_len_b=9).generate(
            [large_toy.model], sample
        )
        for window in (ENDLESS, None)
    )
    for ours, other in zip(found, expected, strict=True):
        assert [h["tokens"].tolist() for h in ours] == [h["tokens"].tolist() for h in other]
        torch.testing.assert_close(
            torch.stack([h["score"] for h in ours]), torch.stack([h["score"] for h in other]), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ctc_window": 0.0, "ctc_weight": 0.5}, "--ctc-window is 0.0, it must be above 0"),
        ({"ctc_window": float("nan"), "ctc_weight": 0.5}, "--ctc-window is nan"),
        ({"ctc_window": 20.0}, "--ctc-window 20.0 has no effect with --ctc-decoding-weight 0"),
    ],
)
def test_windows_that_are_refused(toy, options, message):
    with pytest.raises(ValueError, match=message):
        JointBeamSearch(toy.dictionary, **options)


def test_a_scorer_without_any_window_is_refused():
    with pytest.raises(ValueError, match="CTC window of 0"):
        windowed(random_log_probs(1, 8, 5), [8], 0)
    with pytest.raises(ValueError, match="lengths"):
        windowed(random_log_probs(1, 8, 5), [9], 3.0)
