"""The training steps that are measured: a model, a batch and its loss, of ours by the registered criterions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .models import CLASSES, UNITS, VOCABULARY, dictionary, over_random_base, random_model, their_model

Loss = Callable[[], Tensor]


@dataclass(frozen=True)
class Work:
    """What a step is made on; the peers know the first two."""

    batch: int = 4
    seconds: float = 10.0  # of speech of each utterance; ten symbols of text and 62.5 mel frames a second
    vocabulary: int = VOCABULARY
    units: int = UNITS
    size: str = "base"  # of models.SIZES
    options: dict[str, Any] = field(default_factory=dict)  # of the model, over those of the case

    @property
    def samples(self) -> int:
        return int(self.seconds * 16_000)

    @property
    def tokens(self) -> int:
        return int(self.seconds * 10)

    @property
    def unit_frames(self) -> int:
        return self.samples // 320

    @property
    def mel_frames(self) -> int:
        return self.samples // 256 + 1

    def waveforms(self, device: str) -> dict[str, Tensor]:
        lengths = torch.full((self.batch,), self.samples, device=device)
        waveform = torch.randn(self.batch, self.samples, device=device)
        return {"waveform": waveform, "sample_lengths": lengths, "seeds": torch.arange(self.batch, device=device)}

    def text(self, device: str) -> Tensor:
        return torch.randint(4, self.vocabulary - 2, (self.batch, self.tokens), device=device)

    def frames(self, device: str) -> dict[str, Tensor]:
        return {
            "target_frames": torch.randn(self.batch, self.mel_frames, 80, device=device),
            "frame_lengths": torch.full((self.batch,), self.mel_frames, device=device),
            "speaker": nn.functional.normalize(torch.randn(self.batch, 512, device=device)),
        }


def _criterion(name: str, vocabulary: int, **options: Any) -> nn.Module:
    from types import SimpleNamespace

    from fairseq.criterions import CRITERION_REGISTRY

    symbols = dictionary(vocabulary)
    task = SimpleNamespace(text_dictionary=symbols, target_dictionary=symbols, ctc_blank=vocabulary - 1)
    return CRITERION_REGISTRY[name](task, **options)


def _ours(
    job: str, criterion: str, batch: dict, device: str, work: Work, model: dict | None = None, **options: Any
) -> tuple[nn.Module, Loss]:
    """A model with random weights, and its loss on ``batch`` through the registered criterion."""
    settings = {**(model or {}), **work.options}
    build = over_random_base if settings.get("lora_rank") or settings.get("adapter_dim") else random_model
    built = build(job, work.size, symbols=work.vocabulary, units=work.units, **settings).to(device).train()
    loss = _criterion(criterion, work.vocabulary, **options)
    return built, lambda: _normalised(loss(built, batch))


def _normalised(result: tuple[Tensor, int, dict]) -> Tensor:
    return result[0] / result[1]


def pretrain_speech(device: str, work: Work) -> tuple[nn.Module, Loss]:
    units = torch.randint(0, work.units, (work.batch, work.unit_frames), device=device)
    net_input = work.waveforms(device) | work.frames(device)
    speech = {"net_input": net_input, "target": {"units": units}, "ntokens": units.numel(), "nsentences": work.batch}
    batch = {"speech": speech, "nsentences": work.batch}
    weights = {"masked_weight": 1.0, "unmasked_weight": 0.0, "feature_penalty_weight": 10.0, "diversity_weight": 0.1}
    weights |= {"reconstruction_weight": 1.0, "text_weight": 1.0}
    return _ours("pretrain", "speecht5_pretrain", batch, device, work, {"feature_grad_mult": 0.1}, **weights)


def _s2t(device: str, work: Work, ctc_weight: float, **model: Any) -> tuple[nn.Module, Loss]:
    target = work.text(device)
    previous = torch.cat([torch.full_like(target[:, :1], 2), target[:, :-1]], dim=1)
    batch = {
        "net_input": work.waveforms(device) | {"prev_output_tokens": previous},
        "target": target,
        "target_lengths": torch.full((work.batch,), work.tokens, device=device),
        "ntokens": target.numel(),
        "nsentences": work.batch,
    }
    options = {"ce_weight": 1 - ctc_weight, "ctc_weight": ctc_weight, "label_smoothing": 0.1}
    others = {"keep_infinite_ctc": False, "wer_post_process": "sentencepiece", "sentence_avg": False}
    settings = {"feature_grad_mult": 0.0, **model}
    return _ours("s2t", "speecht5_s2t", batch, device, work, settings, **options, **others)


def s2t(device: str, work: Work) -> tuple[nn.Module, Loss]:
    return _s2t(device, work, 0.5)


def s2t_ce(device: str, work: Work) -> tuple[nn.Module, Loss]:
    return _s2t(device, work, 0.0)


def s2t_lora(device: str, work: Work) -> tuple[nn.Module, Loss]:
    """Low-rank updates of every Linear of the layers over a frozen base."""
    return _s2t(device, work, 0.5, lora_rank=8, lora_targets="q,k,v,out,fc1,fc2")


def _speech(job: str, source: dict[str, Tensor], device: str, work: Work, guided_weight: float, **model: Any) -> Any:
    batch = {
        "net_input": source | work.frames(device),
        "ntokens": work.batch * work.mel_frames,
        "nsentences": work.batch,
    }
    guided = {"guided_attention_weight": guided_weight, "guided_attention_sigma": 0.4, "guided_attention_layers": None}
    options = {"mel_loss": "l1", "stop_weight": 5.0, "guided_attention_heads": 2, "sentence_avg": False}
    return _ours(job, "speecht5_speech", batch, device, work, model, **guided, **options)


def t2s(device: str, work: Work) -> tuple[nn.Module, Loss]:
    """Synthesis with guided attention, as the peer has it."""
    return _speech("t2s", {"source_tokens": work.text(device)}, device, work, 10.0)


def s2s(device: str, work: Work) -> tuple[nn.Module, Loss]:
    """Voice conversion to speech of the same length."""
    return _speech("s2s", work.waveforms(device), device, work, 0.0, feature_grad_mult=0.0)


def s2c(device: str, work: Work) -> tuple[nn.Module, Loss]:
    """One of 40 speakers."""
    classes = torch.randint(0, CLASSES, (work.batch,), device=device)
    batch = {
        "net_input": work.waveforms(device),
        "classes": classes,
        "ntokens": work.batch,
        "nsentences": work.batch,
    }
    return _ours("s2c", "speecht5_s2c", batch, device, work, {"feature_grad_mult": 0.0})


def transformers_s2t(device: str, work: Work) -> tuple[nn.Module, Loss]:
    model = their_model("s2t").to(device).train()
    model.freeze_feature_encoder()  # ours runs with feature_grad_mult 0
    waveform, labels = work.waveforms(device)["waveform"], work.text(device)
    mask = torch.ones_like(waveform, dtype=torch.long)
    return model, lambda: model(input_values=waveform, attention_mask=mask, labels=labels).loss


def transformers_t2s(device: str, work: Work) -> tuple[nn.Module, Loss]:
    model, tokens, frames = their_model("t2s").to(device).train(), work.text(device), work.frames(device)
    mask = torch.ones_like(tokens)

    def loss() -> Tensor:
        return model(
            input_ids=tokens,
            attention_mask=mask,
            speaker_embeddings=frames["speaker"],
            labels=frames["target_frames"],
        ).loss

    return model, loss


OURS = (pretrain_speech, s2t, s2t_ce, s2t_lora, t2s, s2s, s2c)
CASES = {case.__name__: case for case in (*OURS, transformers_s2t, transformers_t2s)}
