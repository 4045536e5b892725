"""Every option of the model, with the base size as default, and the presets that change some of them."""

from dataclasses import dataclass, field
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from ..ranges import BELOW_ONE, COUNT, FACTOR, POSITIVE, SHARE, SIZE, WEIGHT, Rule, ranged

EXTRACTOR_NORMS = ChoiceEnum(["group", "layer"])
PREDICTIONS = ChoiceEnum(["mel", "residual", "mask"])
SPEAKER_POOLINGS = ChoiceEnum(["decoder", "mean", "attentive"])
SPEAKER_LOSSES = ChoiceEnum(["softmax", "am", "aam"])


def _option(default: Any, text: str, rule: Rule | None = None) -> Any:
    return field(default=default, metadata={"help": text}) if rule is None else ranged(default, text, rule)


@dataclass
class SpeechT5Config(FairseqDataclass):
    """The base size with the settings of pre-training; fine-tuning recipes change dropout, masks and freezing."""

    # sizes
    embed_dim: int = _option(768, "width of the encoder and the decoder", SIZE)
    ffn_dim: int = _option(3072, "width inside the feed-forward nets", SIZE)
    attention_heads: int = _option(12, "attention heads of the encoder and the decoder", SIZE)
    encoder_layers: int = _option(12, "encoder layers", SIZE)
    decoder_layers: int = _option(6, "decoder layers", SIZE)
    pre_norm: bool = _option(False, "LayerNorm before each part and at the end (large) instead of after each part")
    relative_distance: int = _option(160, "largest relative distance of the encoder's self-attention, in frames", SIZE)
    # speech encoder pre-net
    conv_channels: int = _option(512, "channels of the convolutional extractor", SIZE)
    extractor_norm: EXTRACTOR_NORMS = _option("group", "norm of the extractor: group (layer 0 only) or layer (all)")
    normalize_waveform: bool = _option(False, "zero mean and unit variance of each utterance's waveform (large)")
    feature_grad_mult: float = _option(
        0.1, "scale of the extractor's gradient; 0 leaves the extractor as it is", WEIGHT
    )
    position_kernel: int = _option(128, "kernel of the position convolution, in frames", SIZE)
    position_groups: int = _option(16, "groups of the position convolution", SIZE)
    mask_prob: float = _option(
        0.8, "share of the source's frames in masked spans, in training of any job; 0 for none", SHARE
    )
    mask_length: int = _option(10, "frames of a masked span", SIZE)
    mask_channel_prob: float = _option(0.0, "share of the channels in masked spans; 0 for none", SHARE)
    mask_channel_length: int = _option(64, "channels of a masked span", SIZE)
    # regularisation
    dropout: float = _option(0.1, "dropout after each part and in the pre-nets", BELOW_ONE)
    attention_dropout: float = _option(0.1, "dropout of attention probabilities", BELOW_ONE)
    activation_dropout: float = _option(0.0, "dropout inside the feed-forward nets", BELOW_ONE)
    positional_dropout: float = _option(
        0.1, "dropout after the positions of source texts and of previous mel frames", BELOW_ONE
    )
    encoder_layerdrop: float = _option(0.05, "probability to skip an encoder layer in training", BELOW_ONE)
    decoder_layerdrop: float = _option(0.05, "probability to skip a decoder layer in training", BELOW_ONE)
    # memory
    checkpoint_activations: bool = _option(
        False, "training: Transformer layers keep their inputs alone and compute the rest again: less memory, more time"
    )
    # speech decoder nets
    reduction_factor: int = _option(2, "mel frames predicted in one decoder step", SIZE)
    speech_prenet_dim: int = _option(256, "width of the speech decoder pre-net", SIZE)
    speech_prenet_dropout: float = _option(0.5, "dropout of the speech decoder pre-net", BELOW_ONE)
    postnet_layers: int = _option(5, "convolutions of the speech decoder post-net", SIZE)
    postnet_channels: int = _option(256, "channels of the speech decoder post-net", SIZE)
    postnet_dropout: float = _option(0.5, "dropout of the speech decoder post-net", BELOW_ONE)
    speech_prediction: PREDICTIONS = _option(
        "mel", "what is predicted: mel frames, or a residual or mask of the source's (enhancement, one frame a step)"
    )
    # heads
    unit_dim: int = _option(256, "width in which frames and units are compared (pre-training)", SIZE)
    codebook_groups: int = _option(2, "groups of the cross-modal quantizer (pre-training)", SIZE)
    codebook_entries: int = _option(100, "entries of each quantizer group", SIZE)
    codebook_prob: float = _option(
        0.1, "probability that a frame reaches the decoder as its code; 0 for no quantizer", SHARE
    )
    gumbel_start: float = _option(2.0, "first temperature of the quantizer's Gumbel softmax", POSITIVE)
    gumbel_end: float = _option(0.5, "last temperature of the quantizer's Gumbel softmax", POSITIVE)
    gumbel_decay: float = _option(0.999995, "factor on the quantizer's temperature an update", FACTOR)
    no_ctc_head: bool = _option(False, "build no CTC head (speech translation)")
    speaker_pooling: SPEAKER_POOLINGS = _option(
        "decoder", "vector of an utterance (identification): one decoder step, or the encoder's frames without decoder"
    )
    speaker_attention_dim: int = _option(128, "width inside the attention of --speaker-pooling attentive", SIZE)
    speaker_embedding_dim: int = _option(
        0, "width of a BatchNorm, Linear, BatchNorm before the classes; 0 for none", COUNT
    )
    speaker_loss: SPEAKER_LOSSES = _option(
        "softmax", "softmax, or a margin in training on the cosine (am) or the angle (aam) to the right class"
    )
    speaker_margin: float = _option(0.2, "margin of --speaker-loss am (cosine) and aam (radians)", WEIGHT)
    speaker_scale: float = _option(30.0, "factor on the cosines of --speaker-loss am and aam", POSITIVE)
    # fine-tuning over a frozen base
    base_checkpoint: Optional[str] = _option(
        None, "checkpoint that is left as it is: only additions to it, and nets that it lacks, are trained and saved"
    )
    train_nets: str = _option(
        "", "nets of --base-checkpoint to train and save whole too: 'ctc_head,text_decoder_prenet'"
    )
    lora_rank: int = _option(0, "rank of the low-rank updates (LoRA) of --lora-targets; 0 for none", COUNT)
    lora_alpha: float = _option(16.0, "low-rank updates are multiplied by this over the rank", POSITIVE)
    lora_dropout: float = _option(0.0, "dropout of what goes into the low-rank updates", BELOW_ONE)
    lora_targets: str = _option(
        "q,v", "what gets a low-rank update: q,k,v,out of the attentions, fc1,fc2 of the others"
    )
    adapter_dim: int = _option(
        0, "width of bottleneck adapters behind attentions and feed-forward nets; 0 for none", COUNT
    )
    adapter_parts: str = _option("encoder,decoder", "where low-rank updates and adapters go: encoder, decoder or both")
    # fine-tuning
    freeze_encoder_updates: int = _option(0, "updates for which the encoder and its pre-nets do not learn", COUNT)
    freeze_decoder_updates: int = _option(0, "updates for which the decoder and its nets do not learn", COUNT)
    freeze: str = _option(
        "", "parts that do not learn at first, PART:UPDATES or PART:forever: 'encoder.layers.0-3:4000 ctc_head:forever'"
    )
    layer_lr_decay: float = _option(
        1.0,
        "factor on the learning rate for each layer down from the decoder's top "
        "(with --optimizer speecht5_adam or speecht5_fused_adam)",
        rule=FACTOR,
    )
    lr_factors: str = _option(
        "",
        "factors on the learning rate of parts: 'ctc_head:10 encoder:0.1' "
        "(with --optimizer speecht5_adam or speecht5_fused_adam)",
    )


@dataclass
class SpeechT5LargeConfig(SpeechT5Config):
    """The large size: pre-norm, LayerNorm in the extractor, no dropout."""

    embed_dim: int = _option(1024, "width of the encoder and the decoder")
    ffn_dim: int = _option(4096, "width inside the feed-forward nets")
    attention_heads: int = _option(16, "attention heads of the encoder and the decoder")
    encoder_layers: int = _option(24, "encoder layers")
    pre_norm: bool = _option(True, "LayerNorm before each part and at the end")
    extractor_norm: EXTRACTOR_NORMS = _option("layer", "norm of the extractor: group (layer 0 only) or layer (all)")
    normalize_waveform: bool = _option(True, "zero mean and unit variance of each utterance's waveform")
    feature_grad_mult: float = _option(1.0, "scale of the extractor's gradient; 0 leaves the extractor as it is")
    dropout: float = _option(0.0, "dropout after each part and in the pre-nets")
    attention_dropout: float = _option(0.0, "dropout of attention probabilities")
    encoder_layerdrop: float = _option(0.0, "probability to skip an encoder layer in training")
    decoder_layerdrop: float = _option(0.0, "probability to skip a decoder layer in training")
    unit_dim: int = _option(768, "width in which frames and units are compared (pre-training)")


@dataclass
class SpeechT5SmallConfig(SpeechT5Config):
    """A size that two CPU cores train in minutes."""

    embed_dim: int = _option(192, "width of the encoder and the decoder")
    ffn_dim: int = _option(768, "width inside the feed-forward nets")
    attention_heads: int = _option(4, "attention heads of the encoder and the decoder")
    encoder_layers: int = _option(5, "encoder layers")
    decoder_layers: int = _option(2, "decoder layers")
    conv_channels: int = _option(96, "channels of the convolutional extractor")
    feature_grad_mult: float = _option(1.0, "scale of the extractor's gradient; 0 leaves the extractor as it is")
    position_kernel: int = _option(64, "kernel of the position convolution, in frames")
    speech_prenet_dim: int = _option(128, "width of the speech decoder pre-net")
    postnet_layers: int = _option(3, "convolutions of the speech decoder post-net")
    postnet_channels: int = _option(96, "channels of the speech decoder post-net")
    unit_dim: int = _option(96, "width in which frames and units are compared (pre-training)")
    encoder_layerdrop: float = _option(0.0, "probability to skip an encoder layer in training")
    decoder_layerdrop: float = _option(0.0, "probability to skip a decoder layer in training")
