"""One utterance by several metrics: the right recordings in the right order, and what goes wrong stays apart."""

import re

import numpy as np
import pytest
import torch

from speecht5_fairseq.constants import SPEAKER_DIM
from speecht5_fairseq.data.audio import read_audio, write_audio
from speecht5_fairseq.data.mel import log_mel
from speecht5_fairseq.scoring import mel_distortion, waveform_quality
from speecht5_fairseq.scoring.folders import Utterance
from speecht5_fairseq.scoring.metrics import ASR_COLUMNS, PAIR_METRICS, Plan, score_utterance

PLUGIN = """
import numpy as np

def text(wave):
    return "Hello, there word" if wave.max() < 0.2 else "hello world"

def vector(wave):
    return np.array([1.0, wave.max()])

def fail(wave):
    raise KeyError("lost")
"""


@pytest.fixture
def utterance(tmp_path, monkeypatch, speech, noisy):
    """Quiet noisy speech, as a generated recording that is 100 samples longer than its reference."""
    (tmp_path / "score_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    write_audio(tmp_path / "reference.wav", speech)
    write_audio(tmp_path / "source.wav", np.clip(noisy(0), -1, 1))
    write_audio(tmp_path / "generated.wav", np.pad(noisy(20) / 3, (0, 100)))
    np.save(tmp_path / "vector.npy", np.eye(SPEAKER_DIM, dtype=np.float32)[0])
    return Utterance(
        "u",
        tmp_path / "generated.wav",
        tmp_path / "reference.wav",
        tmp_path / "source.wav",
        tmp_path / "vector.npy",
        "Hello world!",
    )


def waves(utterance):
    return read_audio(utterance.reference), read_audio(utterance.generated)


def test_waveform_metrics_take_the_trimmed_pair_reference_first(utterance):
    for module in ("pystoi", "pesq"):
        pytest.importorskip(module)
    reference, generated = waves(utterance)
    generated = generated[: len(reference)]
    outcome = score_utterance(utterance, Plan(("stoi", "estoi", "pesq", "si_sdr")))
    expected = {
        "stoi": waveform_quality.intelligibility_index(reference, generated),
        "estoi": waveform_quality.intelligibility_index(reference, generated, extended=True),
        "pesq": waveform_quality.perceptual_quality(reference, generated),
        "si_sdr": waveform_quality.scale_invariant_sdr(reference, generated),
    }
    assert outcome == ({name: f"{score:.6g}" for name, score in expected.items()}, {})
    swapped = waveform_quality.perceptual_quality(generated, reference)
    assert abs(swapped - expected["pesq"]) > 1e-3  # so that a wrong order would show


def test_spectral_metrics(utterance):
    pytest.importorskip("pyworld")
    reference, generated = waves(utterance)
    mels = [log_mel(torch.from_numpy(wave)).numpy() for wave in (reference, generated)]
    outcome = score_utterance(utterance, Plan(("mcd", "mel_l1", "mel_l1_dtw")))
    frames = len(mels[0])
    expected = {
        "mcd": mel_distortion.mel_cepstral_distortion(*map(mel_distortion.mel_cepstra, (reference, generated))),
        "mel_l1": np.abs(mels[0] - mels[1][:frames]).mean(),
        "mel_l1_dtw": mel_distortion.log_mel_l1_warped(*mels),
    }
    assert not outcome.problems
    assert {name: float(field) for name, field in outcome.fields.items()} == pytest.approx(expected, rel=1e-5)


def test_every_system_has_its_columns(utterance):
    plan = Plan(("si_sdr", "asr"), ("generated", "source", "reference"), asr="score_plugin:text")
    outcome = score_utterance(utterance, plan)
    assert list(outcome.fields) == plan.columns()
    assert "reference_si_sdr" not in outcome.fields
    assert float(outcome.fields["si_sdr"]) > 15 > float(outcome.fields["source_si_sdr"])
    heard = {system: outcome.fields[f"{system}asr_text"] for system in ("", "source_", "reference_")}
    assert heard == {"": "hello there word", "source_": "hello world", "reference_": "hello world"}
    edits = [outcome.fields[name] for name in ("word_edits", "words", "character_edits", "characters")]
    assert edits == ["2", "2", "7", "11"]
    assert outcome.fields["source_word_edits"] == "0"


@pytest.mark.parametrize("from_file", [False, True])
def test_speaker_vectors_of_the_reference_or_of_the_file(utterance, from_file):
    plan = Plan(("speaker",), speaker_encoder="score_plugin:vector", speaker_vectors=from_file)
    loudest = [wave.max() for wave in waves(utterance)]
    target = np.array([1.0, 0.0 if from_file else loudest[0]])
    own = np.array([1.0, loudest[1]])
    expected = target @ own / np.linalg.norm(target) / np.linalg.norm(own)
    assert float(score_utterance(utterance, plan).fields["speaker_cosine"]) == pytest.approx(expected, rel=1e-5)


def test_one_failure_leaves_the_other_metrics(utterance, tmp_path):
    write_audio(tmp_path / "long.wav", np.pad(waves(utterance)[1], (0, 4000)))
    utterance = utterance._replace(generated=tmp_path / "long.wav", text=None)
    plan = Plan(("mel_l1_dtw", "mel_l1", "si_sdr", "speaker", "asr"), asr="a:b", speaker_encoder="score_plugin:fail")
    outcome = score_utterance(utterance, plan)
    assert list(outcome.fields) == ["mel_l1_dtw"]
    length, plugin, text = outcome.reasons()
    assert length.startswith("mel_l1, si_sdr: 28100 samples against the reference's 24000")
    assert plugin == "speaker: KeyError: 'lost'"
    assert text.startswith("asr: there is no text")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"generated": "no.wav"}, "si_sdr, asr: .*no.wav: no such audio file"),
        ({"generated": "silent.wav"}, "si_sdr: the generated recording is silent"),
        ({"generated": "empty.wav"}, "si_sdr, asr: .*empty.wav: holds no samples"),
        ({"reference": None}, "si_sdr: the utterance has no reference recording"),
        ({"status": "no mel frames"}, "^not generated: no mel frames"),
    ],
)
def test_bad_recordings_are_reasons(utterance, tmp_path, change, reason):
    write_audio(tmp_path / "silent.wav", np.zeros(24000))
    write_audio(tmp_path / "empty.wav", np.zeros(0))
    change = {name: tmp_path / value if str(value).endswith(".wav") else value for name, value in change.items()}
    outcome = score_utterance(utterance._replace(**change), Plan(("si_sdr", "asr"), asr="score_plugin:text"))
    assert any(re.search(reason, line) for line in outcome.reasons()), outcome


def test_silence_that_was_generated_counts_all_its_words_as_errors(utterance, tmp_path):
    """Recognisers are not asked: some hear words in silence."""
    silent = tmp_path / "silent.wav"
    write_audio(silent, np.zeros(24000))
    plan = Plan(("asr",), ("generated", "reference"), asr="score_plugin:text")
    outcome = score_utterance(utterance._replace(generated=silent, reference=silent), plan)
    assert outcome.fields == dict(zip(ASR_COLUMNS, ("", "hello world", "2", "2", "11", "11"), strict=True))
    assert outcome.reasons() == [f"reference_asr: {silent}: the recording is silent (all samples are 0)"]


def test_a_number_that_is_none_is_a_reason(utterance, monkeypatch):
    monkeypatch.setitem(PAIR_METRICS, "si_sdr", PAIR_METRICS["si_sdr"]._replace(score=lambda *_: float("nan")))
    assert score_utterance(utterance, Plan(("si_sdr",))).reasons() == ["si_sdr: the score is nan, not a finite number"]
