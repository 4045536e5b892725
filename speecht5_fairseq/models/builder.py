"""From the configuration and the job to modules: nothing else makes nets of options.

V is the vocabulary (``<mask>`` and ``<ctc_blank>`` included), U the number of units, C of speakers or other classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fairseq.modules.transformer_sentence_encoder import init_bert_params
from torch import nn

from ..constants import CONV_LAYERS
from ..modules.adapters import TARGETS, add_bottlenecks, add_low_rank
from ..modules.ctc_head import CTCHead
from ..modules.decoder import TransformerDecoder
from ..modules.encoder import TransformerEncoder
from ..modules.quantizer import Quantizer
from ..modules.speaker_head import SpeakerHead
from ..modules.speech_decoder_postnet import SpeechDecoderPostnet
from ..modules.speech_decoder_prenet import SpeechDecoderPrenet
from ..modules.speech_encoder_prenet import SpeechEncoderPrenet
from ..modules.text_decoder_postnet import TextDecoderPostnet
from ..modules.text_decoder_prenet import TextDecoderPrenet
from ..modules.text_encoder_prenet import TextEncoderPrenet
from ..modules.unit_head import UnitHead
from .base_checkpoint import Base, Bases
from .config import SpeechT5Config
from .jobs import Job
from .parts import words


def build_encoder(cfg: SpeechT5Config) -> TransformerEncoder:
    return TransformerEncoder(
        layers=cfg.encoder_layers,
        dim=cfg.embed_dim,
        hidden=cfg.ffn_dim,
        heads=cfg.attention_heads,
        dropout=cfg.dropout,
        attention_dropout=cfg.attention_dropout,
        activation_dropout=cfg.activation_dropout,
        layerdrop=cfg.encoder_layerdrop,
        max_distance=cfg.relative_distance,
        pre_norm=cfg.pre_norm,
        recompute=cfg.checkpoint_activations,
    )


def build_decoder(cfg: SpeechT5Config, job: Job) -> TransformerDecoder | None:
    """The decoder; None where speakers are told from the encoder's frames alone."""
    if "speaker" in job.heads and str(cfg.speaker_pooling) != "decoder":
        return None
    return TransformerDecoder(
        layers=cfg.decoder_layers,
        dim=cfg.embed_dim,
        hidden=cfg.ffn_dim,
        heads=cfg.attention_heads,
        dropout=cfg.dropout,
        attention_dropout=cfg.attention_dropout,
        activation_dropout=cfg.activation_dropout,
        layerdrop=cfg.decoder_layerdrop,
        pre_norm=cfg.pre_norm,
        recompute=cfg.checkpoint_activations,
    )


def build_embedding(cfg: SpeechT5Config, vocabulary: int, padding: int) -> nn.Embedding:
    """One table (V, D) for the text pre-nets and the text post-net."""
    return nn.Embedding(vocabulary, cfg.embed_dim, padding_idx=padding)


def _speech_encoder_prenet(cfg: SpeechT5Config) -> SpeechEncoderPrenet:
    return SpeechEncoderPrenet(
        dim=cfg.embed_dim,
        conv_layers=[(cfg.conv_channels, kernel, stride) for _, kernel, stride in CONV_LAYERS],
        conv_layer_norm=cfg.extractor_norm == "layer",
        normalize_waveform=cfg.normalize_waveform,
        feature_grad_mult=cfg.feature_grad_mult,
        position_kernel=cfg.position_kernel,
        position_groups=cfg.position_groups,
        dropout=cfg.dropout,
        mask_prob=cfg.mask_prob,
        mask_length=cfg.mask_length,
        mask_channel_prob=cfg.mask_channel_prob,
        mask_channel_length=cfg.mask_channel_length,
    )


def build_prenets(cfg: SpeechT5Config, job: Job, embedding: nn.Embedding | None) -> dict[str, nn.Module]:
    """The job's pre-nets by attribute name."""
    nets: dict[str, nn.Module] = {}
    if "speech" in job.sources:
        nets["speech_encoder_prenet"] = _speech_encoder_prenet(cfg)
    if "text" in job.sources:
        nets["text_encoder_prenet"] = TextEncoderPrenet(embedding=embedding, dropout=cfg.positional_dropout)
    if "speech" in job.targets:
        nets["speech_decoder_prenet"] = SpeechDecoderPrenet(
            dim=cfg.embed_dim,
            hidden=cfg.speech_prenet_dim,
            layer_dropout=cfg.speech_prenet_dropout,
            dropout=cfg.positional_dropout,
        )
    if "text" in job.targets:
        nets["text_decoder_prenet"] = TextDecoderPrenet(embedding=embedding, dropout=cfg.dropout)
    return nets


def build_postnets(cfg: SpeechT5Config, job: Job, embedding: nn.Embedding | None) -> dict[str, nn.Module]:
    """The job's decoder post-nets by attribute name."""
    nets: dict[str, nn.Module] = {}
    if "speech" in job.targets:
        nets["speech_decoder_postnet"] = SpeechDecoderPostnet(
            dim=cfg.embed_dim,
            reduction=cfg.reduction_factor,
            channels=cfg.postnet_channels,
            layers=cfg.postnet_layers,
            dropout=cfg.postnet_dropout,
            prediction=str(cfg.speech_prediction),
        )
    if "text" in job.targets:
        nets["text_decoder_postnet"] = TextDecoderPostnet(embedding=embedding)
    return nets


def build_heads(cfg: SpeechT5Config, job: Job, vocabulary: int, units: int, classes: int) -> dict[str, nn.Module]:
    """The job's heads by attribute name."""
    nets: dict[str, nn.Module] = {}
    if "ctc" in job.heads and not cfg.no_ctc_head:
        nets["ctc_head"] = CTCHead(dim=cfg.embed_dim, vocabulary=vocabulary, dropout=cfg.dropout)
    if "units" in job.heads:
        nets["unit_head"] = UnitHead(dim=cfg.embed_dim, final_dim=cfg.unit_dim, units=units)
    if "speaker" in job.heads:
        nets["speaker_head"] = _speaker_head(cfg, classes)
    if "quantizer" in job.heads and cfg.codebook_prob > 0:
        nets["quantizer"] = Quantizer(
            dim=cfg.embed_dim,
            groups=cfg.codebook_groups,
            entries=cfg.codebook_entries,
            mix_probability=cfg.codebook_prob,
            start_temperature=cfg.gumbel_start,
            end_temperature=cfg.gumbel_end,
            decay=cfg.gumbel_decay,
        )
    return nets


def _speaker_head(cfg: SpeechT5Config, classes: int) -> SpeakerHead:
    """The head of identification."""
    return SpeakerHead(
        dim=cfg.embed_dim,
        classes=classes,
        attentive=str(cfg.speaker_pooling) == "attentive",
        attention_dim=cfg.speaker_attention_dim,
        embedding_dim=cfg.speaker_embedding_dim,
        loss=str(cfg.speaker_loss),
        margin=cfg.speaker_margin,
        scale=cfg.speaker_scale,
    )


def initialize(model: nn.Module) -> None:
    """BERT's initialisation (normal, 0.02) of every Linear and Embedding; the quantizer keeps wav2vec 2.0's."""
    if next(model.parameters()).is_meta:
        return  # built for its names and shapes: there are no values
    model.apply(init_bert_params)
    for module in model.modules():
        if isinstance(module, Quantizer):
            module.reset_projection()


def read_base(cfg: SpeechT5Config, bases: Bases, beside: Iterable[Path]) -> Base | None:
    """The base checkpoint of the options, found as they name it or in the folders ``beside``; None without one.

    Raises:
        ValueError: additions without a base to add them to.
        CheckpointError: see ``Bases.read``.
    """
    if cfg.base_checkpoint:
        return bases.read(cfg.base_checkpoint, beside)
    if cfg.lora_rank > 0 or cfg.adapter_dim > 0:
        given = {"--lora-rank": cfg.lora_rank, "--adapter-dim": cfg.adapter_dim}
        asked = " and ".join(f"{option} {size}" for option, size in given.items() if size)
        raise ValueError(
            f"{asked}: additions are trained over a checkpoint that stays as it is; name it with --base-checkpoint"
        )
    return None


def trained_nets(cfg: SpeechT5Config) -> list[str]:
    """Nets of the base that are trained whole."""
    return words(cfg.train_nets)


def add_adapters(cfg: SpeechT5Config, model: nn.Module) -> None:
    """Put low-rank updates and bottlenecks into the encoder's and the decoder's layers, as the options say.

    Raises:
        ValueError: an unknown part or target, or parts that the model does not have.
    """
    parts = _chosen("--adapter-parts", cfg.adapter_parts, ("encoder", "decoder"))
    targets = _chosen("--lora-targets", cfg.lora_targets, tuple(TARGETS))
    built = [part for part in (getattr(model, name) for name in parts) if part is not None]
    if not built and (cfg.lora_rank or cfg.adapter_dim):  # identification without a decoder
        raise ValueError(f"--adapter-parts {cfg.adapter_parts!r}: this job builds no {parts[0]}; give encoder")
    for part in built:
        if cfg.lora_rank:
            add_low_rank(
                part,
                targets=targets,
                rank=cfg.lora_rank,
                alpha=cfg.lora_alpha,
                dropout=cfg.lora_dropout,
            )
        if cfg.adapter_dim:
            add_bottlenecks(part, width=cfg.adapter_dim)


def _chosen(option: str, text: str, choices: tuple[str, ...]) -> list[str]:
    chosen = words(text)
    unknown = [word for word in chosen if word not in choices]
    if unknown or not chosen:
        wrong = f"{', '.join(unknown)}: no such choice" if unknown else "names nothing"
        raise ValueError(f"{option} {text!r}: {wrong}; give some of {','.join(choices)}")
    return chosen
