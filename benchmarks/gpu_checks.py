"""Are a device's numbers right: what ``benchmarks.gpu`` checks, each as an error beside its limit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speecht5_fairseq.generation.beam_search import JointBeamSearch
from speecht5_fairseq.generation.speech import GeneratedSpeech, SpeechLimits, generate_speech
from speecht5_fairseq.models import SpeechT5Model

from .measure import DTYPES
from .models import CLASSES, QUIET, dictionary, random_model, waveforms

SECONDS = (4.0, 10.0, 7.3, 1.1, 9.9, 2.5, 6.0, 8.1)  # of the utterances that are encoded and searched
TOKENS = (60, 100, 73, 11, 99, 25, 60, 81)  # of the texts that are spoken
PRODUCTS = {"float32": None, "float16": torch.float16, "bfloat16": torch.bfloat16}  # of --generation-precision
HALF = ("float16", "bfloat16")
ROUNDED = 0.05  # what bfloat16 may change of a score, or of a mel frame relative to the largest


class Check(NamedTuple):
    what: str
    error: float
    limit: float

    @property
    def right(self) -> bool:
        return self.error <= self.limit

    def __str__(self) -> str:
        verdict = "ok" if self.right else "WRONG"
        return f"{verdict:6}{self.what:44} error {self.error:.1e}, limit {self.limit:g}"


def quiet(size: str, job: str = "s2t") -> SpeechT5Model:
    """A random model without noise, the same at every call."""
    still = {"speech_prenet_dropout": 0.0, "postnet_dropout": 0.0} if job == "s2s" else {}
    return random_model(job, size, feature_grad_mult=1.0, **QUIET, **still)


def on(device: str, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in batch.items()}


def loss(model: SpeechT5Model, job: str, device: str) -> Tensor:
    """Everything that the job predicts in one number, for its gradient."""
    batch = on(device, waveforms(SECONDS))
    generator = torch.Generator().manual_seed(3)
    if job == "s2c":
        logits = model(**batch).speaker.logits
        return F.cross_entropy(logits.float(), torch.arange(len(SECONDS), device=device) % CLASSES)
    if job == "s2s":
        frames, speaker = torch.randn(len(SECONDS), 100, 80, generator=generator), torch.ones(len(SECONDS), 512)
        target = {"target_frames": frames, "frame_lengths": torch.full((len(SECONDS),), 100), "speaker": speaker}
        target = on(device, target)
        speech = model(**batch, **target).speech
        errors = [F.mse_loss(mel.float(), target["target_frames"]) for mel in (speech.coarse, speech.refined)]
        return sum(errors) - F.logsigmoid(speech.stop_logits.float()).mean()
    tokens = torch.arange(5, 25, device=device).expand(len(SECONDS), -1)
    output = model(**batch, prev_output_tokens=tokens)
    likely = output.ctc_logits.float().log_softmax(-1)[..., -1].mean()
    return F.cross_entropy(output.text_logits.flatten(0, 1).float(), tokens.flatten()) - likely


def gradient(model: SpeechT5Model) -> Tensor:
    return torch.cat([p.grad.flatten().float().cpu() for p in model.parameters() if p.grad is not None])


def relative(value: Tensor, reference: Tensor) -> float:
    """Largest difference over the reference's largest value."""
    return float((value.cpu() - reference.cpu()).abs().max() / reference.abs().max())


def check_precision(device: str, size: str) -> Iterator[Check]:
    """Loss and gradient of each job and precision on the device against fp32 on the CPU."""
    for job in ("s2t", "s2s", "s2c"):
        reference = quiet(size, job).train()
        expected = loss(reference, job, "cpu")
        expected.backward()
        true = gradient(reference)
        for dtype, limit in (("fp32", 1e-3), ("bf16", 0.15), ("fp16", 0.05)):
            model = quiet(size, job).to(device).train()
            with torch.autocast(device, dtype=DTYPES[dtype], enabled=dtype != "fp32"):
                found = loss(model, job, device)
            found.backward()
            yield Check(f"{job} loss, {dtype}", relative(found.detach(), expected.detach()), limit / 10)
            yield Check(f"{job} gradient, {dtype}", float((gradient(model) - true).norm() / true.norm()), limit)


def search(model: SpeechT5Model, device: str, batch: dict[str, Tensor], beam: int = 5) -> list:
    generator = JointBeamSearch(dictionary(), beam=beam, ctc_weight=0.5, max_len_a=0.1, max_len_b=5)
    return generator.generate([model], {"net_input": on(device, batch)})


def check_search(device: str, size: str) -> Iterator[Check]:
    """Scores of the best hypotheses: a batch against each utterance alone, and half precisions against float32."""
    from .search import split

    model, batch = quiet(size).to(device).eval(), waveforms(SECONDS)
    together = search(model, device, batch)
    for index, alone in enumerate(split(batch)):
        found = search(model, device, alone)[0][0]
        yield Check(f"beam search, utterance {index}", abs(float(found["score"] - together[index][0]["score"])), 1e-3)
    for precision in HALF:
        model.prepare_decoding(PRODUCTS[precision])
        pairs = zip(search(model, device, batch), together, strict=True)
        worst = max(abs(float(found[0]["score"] / exact[0]["score"] - 1)) for found, exact in pairs)
        yield Check(f"beam search, {precision} beside float32", worst, ROUNDED)


def speak(model: SpeechT5Model, device: str, rows: list[int]) -> list[GeneratedSpeech]:
    """Speech for some of the texts, four mel frames a token, dropout of the pre-net on."""
    generator = torch.Generator().manual_seed(2)
    texts = torch.randint(4, len(dictionary()) - 2, (len(TOKENS), max(TOKENS)), generator=generator)
    speaker = torch.randn(len(TOKENS), 512, generator=generator)[rows].to(device)
    longest = max(TOKENS[row] for row in rows)
    tokens = texts[rows, :longest]
    tokens[torch.arange(longest) >= torch.tensor([TOKENS[row] for row in rows])[:, None]] = dictionary().pad()
    with torch.no_grad():
        encoded = model.encode(source_tokens=tokens.to(device))
    limits = SpeechLimits(threshold=2.0, max_ratio=4.0)
    return generate_speech(model, encoded, speaker, limits=limits, seeds=torch.tensor(rows, device=device))


def check_speech(device: str, size: str) -> Iterator[Check]:
    """Mel frames: a batch against each text alone, the device against the CPU, and half precisions against float32."""
    model, reference = quiet(size, "t2s").to(device).eval(), quiet(size, "t2s").eval()
    together = speak(model, device, list(range(len(TOKENS))))
    for row, speech in enumerate(together):
        (alone,) = speak(model, device, [row])
        yield Check(f"synthesis, text {row}", relative(speech.mel, alone.mel), 1e-3)
    (exact,) = speak(reference, "cpu", [3])
    yield Check("synthesis, beside the CPU", relative(together[3].mel, exact.mel), 1e-3)
    for precision in HALF:
        model.prepare_decoding(PRODUCTS[precision])
        (rounded,) = speak(model, device, [3])
        yield Check(f"synthesis, {precision} beside float32", relative(rounded.mel, exact.mel), ROUNDED)


def check_conversion(device: str, size: str) -> Iterator[Check]:
    """There and back through both layouts: tensors that are other bits, and what ``transformers`` computes (CPU)."""
    from .conversion import TOLERANCE, ways

    for job in ("s2t", "t2s"):
        with tempfile.TemporaryDirectory() as folder:
            for layout, way in ways(job, size, Path(folder)).items():
                yield Check(f"{job} through {layout} and back, other bits", float(not way.same_bits), 0.0)
                if way.difference is not None:
                    yield Check(f"{job} in {layout}, what it computes", way.difference, TOLERANCE)
