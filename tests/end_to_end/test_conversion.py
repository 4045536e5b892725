"""A trained recogniser in every layout decodes the same, in fairseq's commands and in `transformers`."""

import re
from pathlib import Path

import pytest
import soundfile
import torch
from commands import USER_DIR, generation, hypotheses, run
from helpers import tiny_piece_model
from transformers import SpeechT5ForSpeechToText, SpeechT5Processor

from speecht5_fairseq.convert.formats import convert
from speecht5_fairseq.convert.huggingface_folder import OPTIONS_BESIDE, TENSORS_BESIDE
from speecht5_fairseq.data.dictionary import load_text_dictionary

JOINT = ["--beam", 3, "--max-len-b", 8, "--ctc-decoding-weight", 0.4]
GREEDY = ["--beam", 1, "--max-len-b", 8, "--min-len", 0]


@pytest.fixture(scope="module")
def layouts(recognizer, tmp_path_factory) -> Path:
    """The recogniser as back/again.pt and released/asr.pt; hf-elsewhere/, without our files, as elsewhere/asr.pt."""
    folder = tmp_path_factory.mktemp("layouts")
    spm = tiny_piece_model(folder / "spm.model")
    convert(recognizer / "checkpoint_last.pt", folder / "hf", "hf", spm_model=spm)
    convert(folder / "hf", folder / "back" / "again.pt", "fairseq")
    convert(folder / "hf", folder / "released" / "asr.pt", "released")
    (folder / "hf").rename(folder / "hf-elsewhere")
    for name in (OPTIONS_BESIDE, TENSORS_BESIDE):
        (folder / "hf-elsewhere" / name).unlink()
    convert(folder / "hf-elsewhere", folder / "elsewhere" / "asr.pt", "fairseq")
    return folder


def decoded(data, checkpoint: Path, *options: object) -> dict[int, tuple[float, str]]:
    return hypotheses(run("fairseq-generate", *generation(data, checkpoint, *options)))


@pytest.mark.parametrize("name", ["back/again.pt", "released/asr.pt"])
def test_it_decodes_as_before(data, recognizer, layouts, name):
    expected = decoded(data, recognizer / "checkpoint_last.pt", *JOINT)
    assert decoded(data, layouts / name, *JOINT) == expected and expected


def test_without_its_head_it_decodes_as_before_without_it(data, recognizer, layouts):
    expected = decoded(data, recognizer / "checkpoint_last.pt", *GREEDY)
    assert decoded(data, layouts / "elsewhere" / "asr.pt", *GREEDY) == expected and expected


def test_what_came_from_elsewhere_can_be_validated(data, layouts):
    arguments = [data.s2t, "--user-dir", USER_DIR, "--task", "speecht5_s2t", "--path", layouts / "elsewhere" / "asr.pt"]
    output = run("fairseq-validate", *arguments, "--valid-subset", "test", "--max-tokens", 100_000, "--cpu")
    (told,) = re.findall(r"valid on 'test' subset \| loss ([\d.]+) \| .*accuracy [\d.]+ .* bsz 3\b", output)
    assert 0 < float(told) < 20


@torch.no_grad()
def test_transformers_transcribes_the_same(data, recognizer, layouts):
    """Greedy search over what the processor hears, against beam 1."""
    folder = layouts / "hf-elsewhere"
    processor = SpeechT5Processor.from_pretrained(folder, local_files_only=True)
    theirs = SpeechT5ForSpeechToText.from_pretrained(folder, local_files_only=True).eval()
    dictionary = load_text_dictionary(data.s2t / "dict.txt")
    root, *rows = (data.s2t / "test.tsv").read_text(encoding="utf-8").splitlines()
    ours = decoded(data, recognizer / "checkpoint_last.pt", *GREEDY)
    assert len(ours) == len(rows) and any(text for _, text in ours.values())
    for row, line in enumerate(rows):
        waveform, rate = soundfile.read(data.s2t / root / line.split("\t")[0], dtype="float32")
        heard = processor(audio=waveform, sampling_rate=rate, return_tensors="pt")
        tokens = theirs.generate(**heard, max_new_tokens=9, num_beams=1, do_sample=False)[0].tolist()
        text = [dictionary.symbols[token] for token in tokens if token != dictionary.eos()]
        assert " ".join(text) == ours[row][1]
