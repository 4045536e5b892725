"""--picture-interval: what stands in TensorBoard after a training, which is the same with and without."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import LEGACY, NOISE, differing, load, pretraining, recognition, run, synthesis, two_processes
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from speecht5_fairseq.constants import SAMPLE_RATE


def events(folder: Path) -> EventAccumulator:
    """All that a run of TensorBoard holds."""
    found = EventAccumulator(str(folder), size_guidance=dict.fromkeys(("images", "audio", "tensors", "scalars"), 0))
    return found.Reload()


def images(found: EventAccumulator) -> dict[str, list[np.ndarray]]:
    """Name -> (height, width, 3) of each step."""
    read = lambda event: np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))  # noqa: E731
    return {tag: list(map(read, found.Images(tag))) for tag in found.Tags()["images"]}


def sounds(found: EventAccumulator) -> dict[str, list[np.ndarray]]:
    """Name -> samples of each step."""
    read = lambda event: soundfile.read(io.BytesIO(event.encoded_audio_string))  # noqa: E731
    both = {tag: list(map(read, found.Audio(tag))) for tag in found.Tags()["audio"]}
    assert {rate for pairs in both.values() for _, rate in pairs} <= {SAMPLE_RATE}
    return {tag: [samples for samples, _ in pairs] for tag, pairs in both.items()}


def texts(found: EventAccumulator, tag: str) -> list[str]:
    return [event.tensor_proto.string_val[0].decode() for event in found.Tensors(f"{tag}/text_summary")]


def check_pictures(found: EventAccumulator, names: set[str], *, count: int) -> None:
    """So many of each, all of colours and of a size that shows something, and each new."""
    pictures = images(found)
    assert set(pictures) == names
    for name, drawn in pictures.items():
        assert len(drawn) == count, name
        for one in drawn:
            assert one.ndim == 3 and one.shape[0] >= 300 and one.shape[1] >= 800 and one.shape[2] == 3
            assert one.std() > 20 and len(np.unique(one.reshape(-1, 3), axis=0)) > 50
        assert not any(np.array_equal(one, other) for one, other in zip(drawn, drawn[1:], strict=False)), name


def same_training(with_pictures: Path, without: Path) -> None:
    """The weights and all that the optimizer keeps, bit for bit."""
    one, other = (load(folder / "checkpoint_last.pt") for folder in (with_pictures, without))
    assert not differing(one["model"], other["model"])
    states = [found["last_optimizer_state"]["state"] for found in (one, other)]
    for parameter in states[0]:
        assert not differing(*({"m": state[parameter]["exp_avg"]} for state in states))


def pictures(folder: Path, *options: object) -> list[object]:
    return ["--save-dir", folder, "--tensorboard-logdir", folder / "log", "--picture-interval", 1, *options]


def check_norms(found: EventAccumulator) -> None:
    """The squares of the nets' norms add up to that of the whole, which fairseq logs."""
    scalars = {tag: [event.value for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    nets = np.array([values for tag, values in scalars.items() if tag.startswith("gnorm_")])
    assert len(nets) >= 5 and (nets > 0).all()
    assert np.allclose(np.sqrt((nets**2).sum(0)), scalars["gnorm"], rtol=1e-3)


def test_pretraining_shows_reconstruction_and_codebook(data, pretrained, tmp_path):
    run(
        "fairseq-train",
        *pretraining(data, *NOISE, *pictures(tmp_path, "--picture-utterances", 2), "--save-interval-updates", 2),
    )
    found = events(tmp_path / "log" / "valid")
    check_pictures(found, {"codebook", *(f"utterance_{row}/mel_teacher_forced" for row in (1, 2))}, count=2)
    assert len(found.Scalars("speech_code_perplexity")) == 2
    check_norms(events(tmp_path / "log" / "train_inner"))
    same_training(tmp_path, pretrained)


def test_recognition_shows_text_and_alignment(data, pretrained, recognizer, tmp_path):
    start = ["--finetune-from-model", pretrained / "checkpoint_last.pt", "--freeze-encoder-updates", 2]
    options = [*start, *pictures(tmp_path, "--picture-utterances", 2, "--picture-interval", 3)]
    run("fairseq-train", *recognition(data, *NOISE, *options, "--save-interval-updates", 1))
    found = events(tmp_path / "log" / "valid")
    check_pictures(found, {"utterance_1/alignment", "utterance_2/alignment"}, count=2)  # after updates 1 and 4
    assert [event.step for event in found.Images("utterance_1/alignment")] == [1, 4]
    lines = texts(found, "text")[-1].splitlines()
    assert lines[0] == "| utterance | reference | CTC | decoder |" and len(lines) == 4
    references = (data.s2t / "valid.txt").read_text(encoding="utf-8").splitlines()
    for line, reference in zip(lines[2:], references, strict=False):
        assert line.split(" | ")[1] == reference.replace(" ", "").replace("▁", " ").strip()
    same_training(tmp_path, recognizer)


@pytest.fixture(scope="module")
def voice(data, tmp_path_factory) -> Path:
    """A training without pictures."""
    folder = tmp_path_factory.mktemp("voice")
    run("fairseq-train", *synthesis(data, *NOISE, *CLIPPED, "--save-dir", folder, "--validate-interval-updates", 2))
    return folder


CLIPPED = ["--clip-norm", 0.1, "--speech-prenet-dropout", 0.5]


def test_synthesis_shows_mels_alignments_and_sound(data, voice, tmp_path):
    options = [*NOISE, *CLIPPED, *pictures(tmp_path, "--picture-utterances", 2), "--validate-interval-updates", 2]
    run("fairseq-train", *synthesis(data, *options))
    found = events(tmp_path / "log" / "valid")
    kinds = ("mel_teacher_forced", "mel_generated")
    check_pictures(found, {f"utterance_{row}/{kind}" for row in (1, 2) for kind in kinds}, count=2)
    heard = sounds(found)
    rows = (data.t2s / "valid.tsv").read_text(encoding="utf-8").splitlines()[1:]
    for row in (1, 2):
        target, made = heard[f"utterance_{row}/target"], heard[f"utterance_{row}/generated"]
        assert len(target) == 1 and len(made) == 2
        samples = int(rows[row - 1].split("\t")[1])
        assert samples <= len(target[0]) <= samples + 256
        assert all(len(wave) > 0 and wave.std() > 0 for wave in (*target, *made))
        assert not np.array_equal(made[0][: len(made[1])], made[1][: len(made[0])])
    check_norms(events(tmp_path / "log" / "train_inner"))
    same_training(tmp_path, voice)


def test_a_folder_that_cannot_be_written_does_not_stop_the_training(data, voice, tmp_path):
    (tmp_path / "log").write_text("a file", encoding="utf-8")
    options = [*NOISE, *CLIPPED, *pictures(tmp_path, "--picture-utterances", 1), "--validate-interval-updates", 2]
    output = run("fairseq-train", *synthesis(data, *options))
    told = [line for line in output.splitlines() if "cannot be written" in line]
    assert len(told) == 3 and all("Not a directory" in line for line in told)  # valid, train, train_inner
    same_training(tmp_path, voice)


def test_of_two_processes_the_first_draws(data, tmp_path):
    options = [*LEGACY, *pictures(tmp_path, "--picture-utterances", 1), "--max-update", 2]
    output = two_processes(*recognition(data, *options))
    found = events(tmp_path / "log" / "valid")
    assert len(list((tmp_path / "log" / "valid").iterdir())) == 1 and "failed" not in output
    check_pictures(found, {"utterance_1/alignment"}, count=len(found.Scalars("loss")))
    check_norms(events(tmp_path / "log" / "train_inner"))
