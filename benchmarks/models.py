"""Random models of the released sizes: ours, and those of `transformers` with the same weights.

Nothing is imported before it is needed, so that a process that measures one of them pays for that one alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

VOCABULARY, UNITS, CLASSES = 81, 504, 40
SIZES = {
    "base": {},
    "tiny": {"embed_dim": 48, "ffn_dim": 96, "attention_heads": 4, "encoder_layers": 2, "decoder_layers": 1,
             "conv_channels": 32},
}  # fmt: skip
QUIET = {
    "dropout": 0.0, "positional_dropout": 0.0, "attention_dropout": 0.0, "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0, "mask_prob": 0.0,
}  # fmt: skip


def dictionary(size: int = VOCABULARY) -> Any:
    """A fairseq Dictionary of ``size`` symbols: fairseq's four, others, <mask> and <ctc_blank>."""
    from fairseq.data import Dictionary

    from speecht5_fairseq.constants import CTC_BLANK_SYMBOL, MASK_SYMBOL

    symbols = Dictionary()
    for symbol in [*(f"s{number}" for number in range(size - 6)), MASK_SYMBOL, CTC_BLANK_SYMBOL]:
        symbols.add_symbol(symbol)
    return symbols


def random_model(
    job: str, size: str = "base", *, symbols: int = VOCABULARY, units: int = UNITS, **options: Any
) -> nn.Module:
    """Ours, with random weights that are the same at every call."""
    return _build(job, SIZES[size] | options, symbols, units)


def over_random_base(
    job: str, size: str = "base", *, symbols: int = VOCABULARY, units: int = UNITS, **options: Any
) -> nn.Module:
    """Ours over a frozen pre-trained model of random weights, with the additions that the options name."""
    import tempfile
    from pathlib import Path

    from speecht5_fairseq.models.base_checkpoint import Bases

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "base.pt"
        torch.save({"model": random_model("pretrain", size, symbols=symbols, units=units).state_dict()}, file)
        return _build(job, SIZES[size] | options, symbols, units, base=Bases().read(str(file)))


def _build(job: str, options: dict[str, Any], symbols: int, units: int, **base: Any) -> nn.Module:
    from speecht5_fairseq.models import SpeechT5Config, SpeechT5Model
    from speecht5_fairseq.models.jobs import JOBS

    torch.manual_seed(0)
    known, heads = dictionary(symbols), JOBS[job].heads
    return SpeechT5Model(
        SpeechT5Config(**options),
        JOBS[job],
        symbols=known.symbols,
        padding=known.pad(),
        units=units if "units" in heads else 0,
        classes=[f"speaker{number}" for number in range(CLASSES)] if "speaker" in heads else (),
        **base,
    )


def their_model(job: str) -> nn.Module:
    """The base model of `transformers`, with random weights."""
    import transformers

    classes = {"s2t": "SpeechT5ForSpeechToText", "t2s": "SpeechT5ForTextToSpeech", "s2s": "SpeechT5ForSpeechToSpeech"}
    torch.manual_seed(0)
    return getattr(transformers, classes[job])(transformers.SpeechT5Config(vocab_size=VOCABULARY))


def same_pair(job: str, device: str = "cpu") -> tuple[nn.Module, nn.Module]:
    """Ours and theirs in evaluation, with the same weights."""
    from speecht5_fairseq.convert.huggingface import TABLE, from_huggingface

    theirs, ours = their_model(job), random_model(job)
    names = [name for name in ours.state_dict() if TABLE.theirs(name)]
    ours.load_state_dict(from_huggingface(theirs.state_dict(), names), strict=False)
    return ours.eval().to(device), theirs.eval().to(device)


def waveforms(seconds: tuple[float, ...], device: str = "cpu") -> dict[str, Tensor]:
    """Noise of these lengths, padded: what the speech encoder takes."""
    lengths = torch.tensor([int(16_000 * each) for each in seconds])
    generator = torch.Generator().manual_seed(1)
    waveform = torch.randn(len(lengths), int(lengths.max()), generator=generator)
    waveform[torch.arange(waveform.size(1)) >= lengths[:, None]] = 0
    batch = {"waveform": waveform, "sample_lengths": lengths, "seeds": torch.arange(len(lengths))}
    return {name: tensor.to(device) for name, tensor in batch.items()}
