"""Everything worth knowing about a GPU in one call: are its numbers right, how fast is it, how much memory it takes.

    python -m benchmarks.gpu

Needs no network and no data. First the base model's outputs on the device beside those of the CPU (fp32), then the
losses and gradients in bf16 and fp16 beside fp32, then a batched beam search and batched synthesis beside their
utterances alone, then the training steps, the search and the synthesis, timed. Exits with 1 where a number is wrong.
`--device cpu --size tiny` tries the program itself.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

import torch

from speecht5_fairseq.generation.beam_search import JointBeamSearch
from speecht5_fairseq.generation.speech import GeneratedSpeech, SpeechLimits, generate_speech
from speecht5_fairseq.models import SpeechT5Model

from .measure import DTYPES, machine, table
from .models import QUIET, SIZES, dictionary, random_model, waveforms
from .training_step import CASES, run_case

SECONDS = (4.0, 10.0, 7.3, 1.1, 9.9, 2.5, 6.0, 8.1)  # of the utterances that are encoded and searched


TOKENS = (60, 100, 73, 11, 99, 25, 60, 81)  # of the texts that are spoken


def recogniser(size: str, job: str = "s2t") -> torch.nn.Module:
    """A random model without noise, the same at every call."""
    return random_model(job, size, feature_grad_mult=1.0, **QUIET)


def utterances() -> dict[str, torch.Tensor]:
    return waveforms(SECONDS)


def on(device: str, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device) for name, tensor in batch.items()}


def losses(model: SpeechT5Model, device: str) -> torch.Tensor:
    """Decoder and CTC head in one number, for its gradient."""
    batch = on(device, utterances())
    tokens = torch.arange(5, 25, device=device).expand(len(SECONDS), -1)
    output = model(**batch, prev_output_tokens=tokens)
    logits, ctc = output.text_logits, output.ctc_logits.float().log_softmax(-1)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten()) - ctc[..., -1].mean()


def gradient(model: SpeechT5Model) -> torch.Tensor:
    return torch.cat([p.grad.flatten().float().cpu() for p in model.parameters() if p.grad is not None])


def relative(value: torch.Tensor, reference: torch.Tensor) -> float:
    """Largest difference over the reference's largest value."""
    return float((value.cpu() - reference.cpu()).abs().max() / reference.abs().max())


def check_precision(device: str, size: str) -> Iterator[tuple[str, float, float]]:
    """(what, error, limit): loss and gradient of each precision on the device against fp32 on the CPU."""
    reference = recogniser(size).train()
    expected = losses(reference, "cpu")
    expected.backward()
    for dtype, limit in (("fp32", 1e-3), ("bf16", 0.15), ("fp16", 0.05)):
        model = recogniser(size).to(device).train()
        with torch.autocast(device, dtype=DTYPES[dtype], enabled=dtype != "fp32"):
            loss = losses(model, device)
        loss.backward()
        yield f"loss, {dtype}", relative(loss.detach(), expected.detach()), limit / 10
        difference = (gradient(model) - gradient(reference)).norm() / gradient(reference).norm()
        yield f"gradient, {dtype}", float(difference), limit


@torch.no_grad()
def search(model: SpeechT5Model, device: str, batch: dict[str, torch.Tensor], beam: int = 5) -> list:
    generator = JointBeamSearch(dictionary(), beam=beam, ctc_weight=0.5, max_len_a=0.1, max_len_b=5)
    return generator.generate([model], {"net_input": on(device, batch)})


def check_search(device: str, size: str) -> Iterator[tuple[str, float, float]]:
    """Batched search on the device against each utterance alone: scores of the best hypotheses."""
    model, batch = recogniser(size).to(device).eval(), utterances()
    together = search(model, device, batch)
    for index, length in enumerate(batch["sample_lengths"].tolist()):
        alone = {name: tensor[index : index + 1] for name, tensor in batch.items()}
        alone["waveform"] = alone["waveform"][:, :length]
        found = search(model, device, alone)[0][0]
        yield f"beam search, utterance {index}", abs(float(found["score"] - together[index][0]["score"])), 1e-3


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


def check_speech(device: str, size: str) -> Iterator[tuple[str, float, float]]:
    """Batched synthesis on the device against each utterance alone there, and against the CPU: mel frames."""
    model = recogniser(size, "t2s").to(device).eval()
    together = speak(model, device, list(range(len(TOKENS))))
    for row, speech in enumerate(together):
        (alone,) = speak(model, device, [row])
        yield f"synthesis, text {row}", relative(speech.mel, alone.mel), 1e-3
    (reference,) = speak(recogniser(size, "t2s").eval(), "cpu", [3])
    yield "synthesis, beside the CPU", relative(together[3].mel, reference.mel), 1e-3


def time_speech(device: str, size: str) -> None:
    model = recogniser(size, "t2s").to(device).eval()
    for rows in ([1], list(range(len(TOKENS)))):
        for _ in range(2):
            start = time.perf_counter()
            frames = sum(len(speech.mel) for speech in speak(model, device, rows))
            if device == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - start
        print(f"synthesis, batch {len(rows)}: {1000 * seconds / frames:.3f} ms a mel frame ({seconds:.2f} s)")


def time_search(device: str, size: str) -> None:
    model, batch = recogniser(size).to(device).eval(), utterances()
    for _ in range(2):
        start = time.perf_counter()
        search(model, device, batch)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    print(f"beam search, beam 5, joint CTC: {sum(SECONDS) / seconds:.1f} times real time ({seconds:.2f} s)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--size", default="base", choices=SIZES, help="of the model for the checks")
    parser.add_argument("--no-steps", action="store_true", help="leave out the timed training steps")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("this machine has no CUDA device that torch sees: --device cpu tries the program itself")
    print(machine(), flush=True)
    wrong = 0
    for check in (check_precision, check_search, check_speech):
        for what, error, limit in check(options.device, options.size):
            wrong += not error <= limit
            verdict = "ok" if error <= limit else "WRONG"
            print(f"{verdict:6}{what:30} error {error:.1e}, limit {limit:.0e}", flush=True)
    time_search(options.device, options.size)
    time_speech(options.device, options.size)
    if not options.no_steps:
        cases = [(case, dtype) for case in CASES for dtype in DTYPES]
        results = [run_case(case, device=options.device, dtype=dtype, warm_up=3, repeats=10) for case, dtype in cases]
        print(table(results))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
