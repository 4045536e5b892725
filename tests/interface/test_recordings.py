"""Recordings of every kind become waveforms; long ones are cut where they are quiet; batches lose nothing."""

import zipfile

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from speecht5_fairseq.data.errors import AudioError
from speecht5_fairseq.interface.recordings import batches, cut_at_pauses, each_recording, is_many, waveform_of

RATE = 16_000


def noise(seconds: float, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def test_paths_arrays_integers_and_channels_are_one_waveform(tmp_path):
    wave = noise(0.2)
    integers = (wave * 32767).round().to(torch.int16)
    soundfile.write(tmp_path / "a.wav", integers.numpy(), RATE)
    expected = integers.float() / 32768
    for given_wave in (tmp_path / "a.wav", str(tmp_path / "a.wav"), integers, integers.numpy(), expected.numpy()):
        torch.testing.assert_close(waveform_of(given_wave, RATE), expected)
    with zipfile.ZipFile(tmp_path / "calls.zip", "w") as archive:
        archive.write(tmp_path / "a.wav", "monday/a.wav")
    torch.testing.assert_close(waveform_of(tmp_path / "calls.zip:monday/a.wav", RATE), expected)
    torch.testing.assert_close(waveform_of(torch.stack([wave, 3 * wave]), RATE), 2 * wave)
    torch.testing.assert_close(waveform_of(wave.tolist(), RATE), wave)
    assert len(waveform_of(noise(0.2)[::2], 8000)) == len(wave)


@pytest.mark.parametrize(
    "recording, rate, message",
    [
        (torch.zeros(399), RATE, "recording 2: 399 samples at 16000 Hz, the encoder hears 400"),
        (torch.tensor([float("nan")] * 500), RATE, "recording 2: holds NaN"),
        (torch.zeros(500, 2), RATE, r"recording 2: samples of shape \(500, 2\)"),
        (torch.zeros(1, 1, 500), RATE, r"samples of shape \(1, 1, 500\)"),
        (torch.zeros(500, dtype=torch.uint8), RATE, "samples of type torch.uint8"),
        (torch.zeros(500), 0, "sample_rate 0"),
    ],
)
def test_what_is_no_recording_is_named(recording, rate, message):
    with pytest.raises(AudioError, match=message):
        waveform_of(recording, rate, "recording 2")


def test_a_list_is_many_and_numbers_are_one():
    assert is_many([np.zeros(3), np.zeros(2)]) and is_many(["a.wav"]) and is_many(("a.wav", "b.wav"))
    assert not is_many("a.wav") and not is_many(np.zeros(3)) and not is_many([0.1, 0.2]) and not is_many(torch.zeros(3))


def test_a_short_recording_is_whole():
    assert cut_at_pauses(noise(5), 5) == [(0, 5 * RATE)]


def test_cuts_are_in_the_pauses():
    """Speech of 4 s, pauses of half a second: the cuts fall into them."""
    wave = torch.cat([part for number in range(4) for part in (noise(4, number), noise(0.5, 9) / 100)])
    spans = cut_at_pauses(wave, 10)
    assert [span.start for span in spans[1:]] == [span.end for span in spans[:-1]]
    assert spans[0].start == 0 and spans[-1].end == len(wave)
    for span in spans[:-1]:
        into = (span.end / RATE) % 4.5
        assert 4.0 <= into <= 4.5, span


@given(st.floats(1, 95), st.floats(1, 30))
def test_stretches_cover_the_recording_and_none_is_too_long(seconds, longest):
    wave = torch.zeros(round(seconds * RATE))  # no pause is better than another
    spans = cut_at_pauses(wave, longest)
    assert spans[0].start == 0 and spans[-1].end == len(wave)
    assert [span.start for span in spans[1:]] == [span.end for span in spans[:-1]]
    lengths = [span.end - span.start for span in spans]
    assert max(lengths) <= round(longest * RATE)
    assert len(spans) == 1 or min(lengths) >= 0.2 * longest * RATE


def test_a_stretch_of_under_a_second_is_refused():
    with pytest.raises(ValueError, match="longest_seconds 0.5"):
        cut_at_pauses(noise(2), 0.5)


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 120))
def test_batches_hold_everything_once_within_the_limit(sizes, limit):
    found = batches(sizes, limit)
    assert sorted(index for batch in found for index in batch) == list(range(len(sizes)))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(sizes[index] for index in batch) <= limit


def test_results_come_back_in_the_order_of_the_recordings():
    """Each result is the length of its stretches, whatever the batches were."""
    lengths = [3.0, 70.0, 1.0, 40.0, 2.0]
    waves = [noise(seconds, seed) for seed, seconds in enumerate(lengths)]
    owned: list[int] = []

    def compute(parts, owners):
        owned.extend(owners)
        return [len(part) for part in parts]

    found = each_recording(waves, RATE, 30, compute, lambda spans, results: (len(spans), sum(results)))
    assert [samples for _, samples in found] == [len(wave) for wave in waves]
    assert [stretches > 1 for stretches, _ in found] == [False, True, False, True, False]
    assert sorted(set(owned)) == list(range(5))
    assert each_recording(waves[0], RATE, 30, compute, lambda spans, results: results) == [len(waves[0])]
    assert each_recording([], RATE, 30, compute, lambda spans, results: results) == []


def test_numbers_of_every_kind_are_one_recording():
    wave = noise(0.1)
    learnt = wave.clone().requires_grad_()
    for given_wave in (list(wave.numpy()), list(wave), learnt, wave.numpy().astype(">f4"), wave.flip(0).numpy()[::-1]):
        assert not is_many(given_wave)
        torch.testing.assert_close(waveform_of(given_wave, RATE), wave)
    torch.testing.assert_close(waveform_of(wave, 16_000.0), wave)


def test_a_generator_is_gone_through_once():
    waves = [noise(0.1), noise(0.2)]
    found = each_recording((wave for wave in waves), RATE, 30, lambda parts, owners: list(map(len, parts)), first)
    assert found == list(map(len, waves))
    assert each_recording((float(x) for x in waves[0]), RATE, 30, lambda p, owners: list(map(len, p)), first) == 1600
    with pytest.raises(AudioError, match="recordings None: give a file, numbers, or a list of either"):
        each_recording(None, RATE, 30, None, None)


def first(spans, results):
    return results[0]


@pytest.mark.parametrize("rate", [8000.5, float("nan"), True, "8000", None, -1])
def test_a_sample_rate_is_a_whole_number(rate):
    with pytest.raises(AudioError, match="the recording: sample_rate .*; give the samples' own, a whole number of Hz"):
        waveform_of(noise(0.1), rate)


def test_floats_of_another_scale_are_refused():
    with pytest.raises(AudioError, match=r"samples of up to 20000, and floats are in \[-1, 1\]; divide .*32768"):
        waveform_of(torch.linspace(-20_000, 1000, 800), RATE)
    waveform_of(torch.linspace(-1.5, 1, 800), RATE)  # what mixing and filters add
    with pytest.raises(AudioError, match="holds NaN or infinity"):
        waveform_of(torch.full((800,), float("inf")), RATE)


@pytest.mark.parametrize("given_wave", [["a", 0.1], [[0.1], 0.2], np.array(["x"] * 500), [None] * 500])
def test_what_is_no_row_of_numbers_is_one_error(given_wave):
    with pytest.raises(AudioError, match="the recording: "):
        waveform_of(given_wave, RATE)


def test_cuts_are_between_encoder_frames_and_stretches_may_overlap():
    wave = noise(7)
    spans = cut_at_pauses(wave, 3)
    assert len(spans) > 2 and all(span.start % 320 == 0 for span in spans)
    lengths = each_recording(wave, RATE, 3, lambda p, o: list(map(len, p)), lambda spans, found: found, overlap=80)
    assert lengths == [span.end - span.start + 80 for span in spans[:-1]] + [spans[-1].end - spans[-1].start]
    assert cut_at_pauses(wave, float("inf")) == [(0, len(wave))]
