"""Small folders of every kind that a report reads."""

import json
from pathlib import Path

import numpy as np
import soundfile
from helpers import write_lines

HOSTILE = "<script>alert('x')</script> & \"quoted\""
SAID = ["please hold the line", "goodbye now", "the line is busy", HOSTILE]
HEARD = ["please hold a line", "goodbye", "the the line is busy", "<script>alert('x')</script> & \"quote\""]


def write_transcripts(folder: Path, heard=HEARD, said=SAID, *, subset: str = "test", result: str = "WER: 1") -> Path:
    """folder/generate-SUBSET.txt as fairseq-generate writes it: batches by length, so not in the manifest's order."""
    lines = []
    for number in reversed(range(len(heard))):
        lines += [f"T-{number}\t{said[number]}"] if said else []
        lines += [f"H-{number}\t-0.5\t{heard[number]}", f"D-{number}\t-0.5\t{heard[number]}", f"P-{number}\t-0.1 -0.2"]
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / f"generate-{subset}.txt", [*lines, f"Generate {subset} with beam=5: {result}"])
    return folder


def write_run(folder: Path, *, kind: str = "simple", beside: bool = True, start: float = 5.0) -> Path:
    """A run of four lines and a validation, its log beside the folder, or in it, in a format of fairseq's."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix = "2026-11-28 00:00:50 | INFO | train_inner | "
    lines = []
    for update in range(50, 250, 50):
        loss = start - update / 100
        if kind == "simple":
            numbers = f"loss={loss}, ctc_loss={loss / 2}, num_updates={update}, lr=0.001, gnorm=1.5, wall=80"
            lines.append(f"{prefix}epoch 001:     {update} / 250 {numbers}")
        else:
            numbers = {"epoch": 1, "update": update / 250, "loss": str(loss), "num_updates": str(update), "lr": "0.001"}
            lines.append(prefix + json.dumps(numbers))
    if kind == "simple":
        lines.append("| INFO | valid | epoch 001 | valid on 'valid' subset | loss 4.5 | uer 31.5 | num_updates 200")
    else:
        lines.append(json.dumps({"epoch": 1, "valid_loss": "4.5", "valid_uer": "31.5", "valid_num_updates": "200"}))
    write_lines(folder.with_name(f"{folder.name}.log") if beside else folder / "train.log", lines)
    return folder


def write_speech_results(folder: Path, *, shift: float = 0.0) -> Path:
    """folder/test/results.tsv with three utterances, scored; the second has no focus and was not generated."""
    place = folder / "test"
    place.mkdir(parents=True)
    rng = np.random.default_rng(0)
    columns = ["id", "wav", "mel", "focus_rate", "reference", "text", "status", "mcd", "word_edits", "words",
               "character_edits", "characters", "asr_text", "asr_reference"]  # fmt: skip
    lines = ["\t".join(columns)]
    for number in range(3):
        wave = 0.1 * rng.standard_normal(4000)
        soundfile.write(place / f"{number}.wav", wave, 16_000)
        np.save(place / f"{number}.npy", rng.standard_normal((20, 80)).astype(np.float32))
        if number == 1:
            lines.append("\t".join(["1", "", "", "", "", HOSTILE, "no frames", *[""] * 7]))
            continue
        reference = place / "0.wav" if number else place / "gone.wav"
        fields = [number, f"{number}.wav", f"{number}.npy", 0.5, reference, HOSTILE, "ok", 5.0 + number + shift, 1, 4,
                  2, 12, "what was heard", "what was not heard"]  # fmt: skip
        lines.append("\t".join(map(str, fields)))
    write_lines(place / "results.tsv", lines)
    return folder


def write_speaker_results(folder: Path, utterances: int = 12) -> Path:
    """folder/test: classes and embeddings of three speakers; folder/test.scores.tsv: trials, as examples/sid writes."""
    place = folder / "test"
    place.mkdir(parents=True)
    rng = np.random.default_rng(0)
    voices = rng.normal(size=(3, 6))
    lines, vectors = ["id\tpath\tclass\tprobability\tclasses\tlabel\tcorrect\tembedding"], []
    for number in range(utterances):
        speaker = number % 3
        vectors.append(voices[speaker] + 0.4 * rng.normal(size=6))
        np.save(place / f"{number}.npy", vectors[-1].astype(np.float32))
        told = "s0" if number < 4 else f"s{speaker}"
        fields = [number, f"{number}.wav", told, 0.7, f"{told} 0.7", f"s{speaker}"]
        fields += ["yes" if told == f"s{speaker}" else "no", f"{number}.npy"]
        lines.append("\t".join(map(str, fields)))
    write_lines(place / "results.tsv", lines)
    unit = np.stack(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)
    trials = [
        f"{int(a % 3 == b % 3)}\t{a}.wav\t{b}.wav\t{unit[a] @ unit[b]:.6f}" for a in range(utterances) for b in range(a)
    ]
    write_lines(folder / "test.scores.tsv", trials)
    return folder
