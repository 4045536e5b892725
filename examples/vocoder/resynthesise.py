"""Recordings -> log-mels -> waveforms again: what a vocoder alone does to speech.

    python examples/vocoder/resynthesise.py --manifest prompts/en/test.tsv --vocoder griffin-lim --out resynthesised

Writes OUT/ID.wav and prints the mel L1 (log10) between each recording and its copy, and the speed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from segments import recordings

from speecht5_fairseq.constants import SAMPLE_RATE
from speecht5_fairseq.data.audio import write_audio
from speecht5_fairseq.data.mel import log_mel
from speecht5_fairseq.generation.vocoder import load_vocoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True, help="a .tsv of any job")
    parser.add_argument("--vocoder", help="griffin-lim (the default), griffin-lim:100, a folder, MODULE:FUNCTION")
    parser.add_argument("--out", type=Path, required=True, help="folder of the waveforms")
    parser.add_argument("--count", type=int, default=16, help="recordings, spread over the manifest")
    parser.add_argument("--device", default="cpu", help="such as cpu or cuda:0")
    args = parser.parse_args()
    vocoder = load_vocoder(args.vocoder, args.device)
    errors, spoken, taken = [], 0.0, 0.0
    for name, wave in recordings(args.manifest, args.count):
        mel = log_mel(wave)
        began = time.perf_counter()
        copy = vocoder(mel).cpu()
        taken, spoken = taken + time.perf_counter() - began, spoken + len(wave) / SAMPLE_RATE
        copy = copy[: len(wave)]
        write_audio(args.out / f"{name}.wav", copy)
        errors.append(float((log_mel(copy) - log_mel(wave[: len(copy)])).abs().mean()))
        print(f"{name}: mel L1 {errors[-1]:.4f}")
    mean = torch.tensor(errors).mean()
    print(f"{len(errors)} recordings: mel L1 {mean:.4f}, {taken / spoken:.3f} s a second of audio")


if __name__ == "__main__":
    main()
