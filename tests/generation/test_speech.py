"""Autoregressive speech: every step against the whole, every utterance against itself alone, and how they end."""

import pytest
import torch
from helpers import mel_target, speech_source, text_tokens, tiny_model

from speecht5_fairseq.constants import MEL_BINS
from speecht5_fairseq.generation.speech import PrenetDropout, SpeechLimits, generate_speech

LENGTHS = (5, 17, 11)
NEVER = SpeechLimits(threshold=2.0, max_ratio=4.0)
SEEDS = torch.tensor([11, 22, 33])
JOBS = {"t2s": lambda: {"source_tokens": text_tokens(*LENGTHS)}, "s2s": lambda: speech_source(2000, 6017, 4100)}


def build(job="t2s", **options):
    return tiny_model(job, **options).eval()


def generate(model, data, speaker, limits=NEVER, **options):
    inputs = {name: value for name, value in data.items() if name != "seeds"}
    return generate_speech(model, model.encode(**inputs), speaker, limits=limits, **options)


def speakers():
    return mel_target(1, 1, 1)["speaker"]


def one(source, row):
    """Utterance `row` of a source without its padding."""
    if "waveform" in source:
        size = int(source["sample_lengths"][row])
        waveform, lengths = source["waveform"][row : row + 1, :size], source["sample_lengths"][row : row + 1]
        return {"waveform": waveform, "sample_lengths": lengths}
    return {"source_tokens": source["source_tokens"][row : row + 1, : LENGTHS[row]]}


@pytest.mark.parametrize("reduction", [1, 2, 3])
def test_steps_are_the_teacher_forced_pass_over_their_own_frames(reduction):
    """Fed with the frames that were generated, the whole-sequence decoder predicts those frames."""
    model, source, speaker = build(reduction_factor=reduction), JOBS["t2s"](), speakers()
    for row, found in enumerate(generate(model, source, speaker)):
        inputs = one(source, row)
        encoded = model.encode(**inputs)
        coarse = coarse_of(model, inputs, speaker[row : row + 1])
        lengths = torch.tensor([len(found.mel)])
        output = model.decode_speech(encoded.states, None, coarse, lengths, speaker[row : row + 1])
        torch.testing.assert_close(output.coarse, coarse, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(output.refined[0], found.mel, atol=1e-5, rtol=1e-4)


def coarse_of(model, source, speaker):
    """The frames before the post-net of an utterance, which the decoder hears: (1, N, M)."""
    refine, seen = model.refine_frames, []
    model.refine_frames = lambda coarse, lengths: seen.append(coarse) or refine(coarse, lengths)
    found = generate(model, source, speaker)
    del model.refine_frames
    return seen[0][:, : len(found[0].mel)]


@pytest.mark.parametrize("seeds", [None, SEEDS], ids=["without dropout", "seeded dropout"])
@pytest.mark.parametrize("job", JOBS)
def test_alone_and_in_a_batch(job, seeds):
    model, source, speaker = build(job, speech_prenet_dropout=0.5), JOBS[job](), speakers()
    batched = generate(model, source, speaker, seeds=seeds, alignments=True)
    for row, found in enumerate(batched):
        own = None if seeds is None else seeds[row : row + 1]
        (alone,) = generate(model, one(source, row), speaker[row : row + 1], seeds=own, alignments=True)
        assert (alone.steps, alone.hit_limit, alone.positions) == (found.steps, found.hit_limit, found.positions)
        torch.testing.assert_close(alone.mel, found.mel, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone.alignment, found.alignment, atol=1e-5, rtol=1e-4)
        assert alone.focus_rate == pytest.approx(found.focus_rate, abs=1e-5)


def test_another_seed_gives_other_speech_and_the_same_seed_the_same():
    model, source, speaker = build(speech_prenet_dropout=0.5), JOBS["t2s"](), speakers()
    first, again, other, off = (generate(model, source, speaker, seeds=s) for s in (SEEDS, SEEDS, SEEDS + 1, None))
    assert all(torch.equal(a.mel, b.mel) for a, b in zip(first, again, strict=True))
    assert all((a.mel - b.mel).abs().max() > 1e-3 for a, b in zip(first, other, strict=True))
    assert all((a.mel - b.mel).abs().max() > 1e-3 for a, b in zip(first, off, strict=True))


STOPS = ((5, 1), (9, 0), (None, None))  # utterance -> step (from 0) and frame of it with a high stop probability


def scripted_model(speaker, before=0.2):
    """A model whose stop probabilities follow `STOPS`: 0.7 there, `before` elsewhere; utterances are told by voice."""
    model = build()
    voices, step_of = model.speech_decoder_prenet.condition(speaker), model.next_frames

    def next_frames(heard, state, **options):
        number = state.steps
        step = step_of(heard, state, **options)
        chance = torch.full_like(step.stop_logits, before)
        for row, voice in enumerate(state.condition):
            (utterance,) = (index for index in range(3) if torch.equal(voices[index], voice))
            if STOPS[utterance][0] == number:
                chance[row, STOPS[utterance][1]] = 0.7
        return step._replace(stop_logits=chance.logit())

    model.next_frames = next_frames
    return model


def test_each_utterance_ends_with_the_first_step_of_which_any_frame_reaches_the_threshold():
    found = generate(scripted_model(speakers()), JOBS["t2s"](), speakers(), SpeechLimits(max_ratio=4.0))
    assert [speech.steps for speech in found] == [6, 10, 22]  # the third at its limit of 4 * 11 / 2 steps
    assert [speech.hit_limit for speech in found] == [False, False, True]
    assert [len(speech.mel) for speech in found] == [12, 20, 44]


def test_the_threshold_decides():
    higher = generate(scripted_model(speakers()), JOBS["t2s"](), speakers(), SpeechLimits(0.71, max_ratio=4.0))
    assert [speech.steps for speech in higher] == [10, 34, 22] and all(speech.hit_limit for speech in higher)
    lower = generate(scripted_model(speakers()), JOBS["t2s"](), speakers(), SpeechLimits(0.19, max_ratio=4.0))
    assert [speech.steps for speech in lower] == [1, 1, 1] and not any(speech.hit_limit for speech in lower)


def test_nothing_ends_before_the_minimum_length():
    limits = SpeechLimits(0.19, min_ratio=2.0, max_ratio=4.0)
    found = generate(scripted_model(speakers()), JOBS["t2s"](), speakers(), limits)
    assert [speech.steps for speech in found] == list(LENGTHS) and not any(speech.hit_limit for speech in found)


def test_the_limit_counts_mel_frames_for_each_encoder_position():
    found = generate(build(reduction_factor=3), JOBS["t2s"](), speakers(), SpeechLimits(threshold=2.0, max_ratio=2.5))
    assert [speech.steps for speech in found] == [int(2.5 * length / 3) for length in LENGTHS]
    assert all(speech.hit_limit for speech in found)
    tiny = generate(build(), JOBS["t2s"](), speakers(), SpeechLimits(threshold=2.0, max_ratio=0.01))
    assert [speech.steps for speech in tiny] == [1, 1, 1]


def test_alignments_are_probabilities_over_the_utterances_own_positions():
    model = build()
    found = generate(model, JOBS["t2s"](), speakers(), alignments=True)
    for speech, length in zip(found, LENGTHS, strict=True):
        assert speech.alignment.shape == (speech.steps, length) and speech.positions == length
        torch.testing.assert_close(speech.alignment.sum(1), torch.ones(speech.steps))
        assert speech.focus_rate == pytest.approx(speech.alignment.amax(1).mean().item(), abs=1e-6)
    assert all(speech.alignment is None for speech in generate(model, JOBS["t2s"](), speakers()))


@pytest.mark.parametrize("prediction", ["residual", "mask"])
def test_a_prediction_from_the_source_has_the_sources_frames(prediction):
    model, source = build("s2s", reduction_factor=1, speech_prediction=prediction), JOBS["s2s"]()
    mel = model.source_mel(source["waveform"], source["sample_lengths"])
    frames = 1 + source["sample_lengths"] // 256
    found = generate(model, source, speakers(), source=mel, source_lengths=frames)
    targets = mel_target(*frames.tolist()) | {"speaker": speakers()}  # the frames are not heard
    whole = model(**source, **targets).speech
    for row, speech in enumerate(found):
        assert len(speech.mel) == int(frames[row]) and not speech.hit_limit
        torch.testing.assert_close(speech.mel, whole.refined[row, : int(frames[row])], atol=1e-5, rtol=1e-4)
        single = one(source, row)
        own = model.source_mel(single["waveform"], single["sample_lengths"])
        (alone,) = generate(model, single, speakers()[row : row + 1], source=own, source_lengths=frames[row : row + 1])
        torch.testing.assert_close(alone.mel, speech.mel, atol=1e-5, rtol=1e-4)


def test_dropout_is_drawn_in_chunks_whatever_the_batch():
    prenet = build(speech_prenet_dropout=0.3).speech_decoder_prenet
    steps, device = PrenetDropout.CHUNK + 5, torch.device("cpu")
    together = PrenetDropout(SEEDS, prenet, device)
    rows = torch.arange(3)
    masks = torch.stack([together.kept(rows if step < 3 else rows[1:], step)[-1] for step in range(steps)])
    alone = PrenetDropout(SEEDS[2:], prenet, device)
    torch.testing.assert_close(masks, torch.stack([alone.kept(rows[:1], step)[0] for step in range(steps)]))
    assert masks.float().mean() == pytest.approx(0.7, abs=0.03)
    assert not torch.equal(masks[0], masks[PrenetDropout.CHUNK])


@pytest.mark.parametrize(
    "values, message",
    [
        ({"threshold": 0.0}, "--stop-threshold 0.0: give a number above 0"),
        ({"min_ratio": 3.0, "max_ratio": 2.0}, "--min-length-ratio 3.0 and --max-length-ratio 2.0"),
        ({"max_ratio": 0.0}, "--max-length-ratio 0.0: give mel frames for each encoder position, above 0"),
        ({"max_ratio": float("inf")}, "--max-length-ratio inf: give .* 10,000 at most"),
        ({"max_ratio": 1e30}, r"--max-length-ratio 1e\+30: give"),
        ({"min_ratio": float("nan")}, "--min-length-ratio nan: give"),
        ({"threshold": float("nan")}, "--stop-threshold nan: give"),
    ],
)
def test_impossible_limits_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        SpeechLimits(**values)


def test_mel_bins_are_the_packages():
    assert generate(build(), JOBS["t2s"](), speakers())[0].mel.size(1) == MEL_BINS
