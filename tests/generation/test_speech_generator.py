"""What fairseq-generate calls: files and table of a batch, long texts, and utterances that fail."""

import numpy as np
import pytest
import soundfile
import torch
from helpers import mel_target, speech_source, text_tokens, tiny_model

from speecht5_fairseq.constants import MEL_HOP, SAMPLE_RATE
from speecht5_fairseq.generation.results_folder import ResultsFolder
from speecht5_fairseq.generation.source_gain import source_gain
from speecht5_fairseq.generation.speech import SpeechLimits
from speecht5_fairseq.generation.speech_generator import PAUSE_FRAMES, ResultLines, SpeechGenerator, join, text_seeds


class Beeps:
    """A vocoder: the mean of each frame, held for a hop."""

    def __call__(self, mel):
        return (0.05 * mel.mean(1)).clamp(-1, 1).repeat_interleave(MEL_HOP)

    def to(self, device):
        return self


class Moody(Beeps):
    """One that refuses short utterances."""

    def __call__(self, mel):
        if len(mel) < 30:
            raise IndexError("too short for me")  # a plug-in may raise anything
        return super().__call__(mel)


def build(folder, *, vocoder=None, ratio=4.0, **options):
    return SpeechGenerator(
        limits=SpeechLimits(threshold=2.0, max_ratio=ratio),
        results=ResultsFolder(folder, {}),
        lines=ResultLines(),
        vocoder=vocoder,
        describe=lambda number: {"name": f"voice/{number}", "text": f"text {number}"},
        prenet_dropout=False,
        **options,
    )


def sample(lengths=(5, 17, 11), rows=(0, 1, 2)):
    utterances = max(rows) + 1
    inputs = {"source_tokens": text_tokens(*lengths), "seeds": 7 * torch.arange(utterances)}
    inputs["speaker"] = mel_target(*[1] * utterances)["speaker"]
    return {"id": 4 + torch.arange(utterances), "rows": torch.tensor(rows), "net_input": inputs, "target": None}


def test_a_batch_becomes_files_and_lines(tmp_path):
    generator = build(tmp_path, vocoder=Beeps())
    hypotheses = generator.generate([tiny_model("t2s")], sample())
    for number, length, (hypothesis,) in zip((4, 5, 6), (5, 17, 11), hypotheses, strict=True):
        mel = np.load(tmp_path / f"voice/{number}.npy")
        wave, rate = soundfile.read(tmp_path / f"voice/{number}.wav")
        assert mel.shape == (4 * length, 80) and rate == SAMPLE_RATE and len(wave) == len(mel) * MEL_HOP
        row = generator.results.rows[f"voice/{number}"]
        assert row["frames"] == str(4 * length) and row["stop_step"] == str(2 * length) and row["hit_limit"] == "yes"
        assert row["length_ratio"] == "4.000" and row["status"] == "ok" and row["text"] == f"text {number}"
        assert float(row["seconds"]) == pytest.approx(4 * length * MEL_HOP / SAMPLE_RATE, abs=1e-3)
        assert len(hypothesis["tokens"]) == len(mel)
        assert generator.lines.string(hypothesis["tokens"]).endswith(f"voice/{number}: {len(mel)} frames")
    assert "3 of 3 utterances" in generator.summary("test") and "real-time factor" in generator.summary("test")
    assert "3 reached the maximum length: voice/4, voice/5, voice/6" in generator.summary("test")


def test_the_parts_of_a_long_text_are_joined_with_pauses(tmp_path):
    """Texts 0 and 1 are one utterance; each part is what it is alone."""
    model = tiny_model("t2s")
    generator, long = build(tmp_path), sample((6, 9, 11), rows=(0, 0, 1))
    generator.generate([model], long)
    joined = np.load(tmp_path / "voice/4.npy")
    assert len(joined) == 4 * (6 + 9) + PAUSE_FRAMES
    parts = build(tmp_path / "parts")
    batch = sample((6, 9, 11))
    batch["net_input"]["speaker"] = long["net_input"]["speaker"][long["rows"]]
    parts.generate([model], batch)
    for name, place in (("4", slice(None, 24)), ("5", slice(24 + PAUSE_FRAMES, None))):
        np.testing.assert_allclose(joined[place], np.load(tmp_path / f"parts/voice/{name}.npy"), atol=1e-5)
    assert (joined[24 : 24 + PAUSE_FRAMES] <= joined.min(0) + 1e-6).all()
    row = generator.results.rows["voice/4"]
    assert row["length_ratio"] == "4.000" and row["stop_step"] == str(2 * (6 + 9))
    assert not (tmp_path / "voice/4.wav").exists() and row["wav"] == ""  # no vocoder


def test_seeds_of_texts_are_their_utterances_and_their_place():
    rows = torch.tensor([0, 0, 0, 1, 2, 2])
    assert text_seeds(torch.tensor([50, 70, 90]), rows).tolist() == [50, 51, 52, 70, 90, 91]


def test_one_part_has_no_pause():
    mel = torch.randn(5, 80)
    assert torch.equal(join([mel]), mel)


def test_an_utterance_that_fails_does_not_end_the_run(tmp_path):
    generator = build(tmp_path, vocoder=Moody())
    generator.generate([tiny_model("t2s")], sample())
    assert generator.results.failed == {"voice/4": "too short for me"}
    assert {name for name in generator.results.rows if generator.results.is_done(name, "")} == {"voice/5", "voice/6"}
    generator.fail(9, "no audio")
    assert "2 failed: voice/4, voice/9" in generator.summary("test")


def test_what_was_there_of_an_utterance_goes_first(tmp_path):
    """No old waveform beside a new mel, or of an utterance that failed; nor a picture of either."""
    build(tmp_path, vocoder=Beeps()).generate([tiny_model("t2s")], sample())
    for number in (4, 5, 6):
        (tmp_path / f"voice/{number}.png").write_bytes(b"of before")
    build(tmp_path, vocoder=Moody()).generate([tiny_model("t2s")], sample((5, 17), rows=(0, 1)))
    build(tmp_path).generate([tiny_model("t2s")], sample((17,), rows=(0,)) | {"id": torch.tensor([6])})
    build(tmp_path).fail(7, "no audio")
    found = {path.name for path in (tmp_path / "voice").iterdir()}
    assert found == {"5.npy", "5.wav", "6.npy"}  # 4 is too short for Moody


def test_frames_that_are_no_numbers_are_a_failure_and_not_a_file(tmp_path):
    model = tiny_model("t2s")
    with torch.no_grad():
        model.speech_decoder_postnet.norms[-1].bias.fill_(float("nan"))
    generator = build(tmp_path, vocoder=Beeps())
    generator.generate([model], sample())
    assert len(generator.results.failed) == 3 and not list(tmp_path.rglob("*.wav"))
    assert "NaN or infinite" in generator.results.failed["voice/4"]


@pytest.mark.parametrize("prediction", ["residual", "mask"])
def test_enhancement_gives_the_sources_length(tmp_path, prediction):
    model = tiny_model("s2s", reduction_factor=1, speech_prediction=prediction)
    batch = sample()
    source = speech_source(4000, 9117, 6000)
    del batch["net_input"]["source_tokens"]
    batch["net_input"] |= {name: source[name] for name in ("waveform", "sample_lengths")}
    build(tmp_path).generate([model], batch)
    frames = [len(np.load(tmp_path / f"voice/{number}.npy")) for number in (4, 5, 6)]
    assert frames == [1 + samples // MEL_HOP for samples in (4000, 9117, 6000)]


def test_enhancement_with_the_sources_phases(tmp_path):
    """Each utterance is made of its own samples: none longer, none louder."""
    model, batch = tiny_model("s2s", reduction_factor=1, speech_prediction="mask"), sample()
    source = speech_source(4000, 9117, 6000, garbage=3.0)
    del batch["net_input"]["source_tokens"]
    batch["net_input"] |= {name: source[name] for name in ("waveform", "sample_lengths")}
    build(tmp_path, vocoder=source_gain).generate([model], batch)
    for row, number in enumerate((4, 5, 6)):
        wave, _ = soundfile.read(tmp_path / f"voice/{number}.wav")
        noisy = source["waveform"][row, : int(source["sample_lengths"][row])]
        assert len(wave) == len(noisy) and 0 < (wave**2).sum() < noisy.square().sum()


def test_pictures_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    build(tmp_path, pictures=True).generate([tiny_model("t2s")], sample((6, 9, 11), rows=(0, 0, 1)))
    for number in (4, 5):
        assert (tmp_path / f"voice/{number}.png").read_bytes().startswith(b"\x89PNG")


def test_forced_output_is_refused(tmp_path):
    with pytest.raises(ValueError, match="prefix_tokens"):
        build(tmp_path).generate([tiny_model("t2s")], sample(), prefix_tokens=torch.zeros(3, 1))
