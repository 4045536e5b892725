"""Numbers of the paper and of the released models that are defaults here: one table."""

import pytest

from speecht5_fairseq.constants import ENCODER_STRIDE, SAMPLE_RATE
from speecht5_fairseq.criterions.pretrain import PretrainCriterionConfig
from speecht5_fairseq.criterions.s2t import S2TCriterionConfig
from speecht5_fairseq.criterions.speech import SpeechCriterionConfig
from speecht5_fairseq.models.config import SpeechT5Config, SpeechT5LargeConfig
from speecht5_fairseq.modules.speech_encoder_prenet import SpeechEncoderPrenet
from speecht5_fairseq.tasks.pretrain import PretrainTaskConfig
from speecht5_fairseq.tasks.s2c import S2CTaskConfig
from speecht5_fairseq.tasks.t2s import T2STaskConfig

FACTS = {
    SpeechT5Config: {
        "embed_dim": 768, "ffn_dim": 3072, "attention_heads": 12, "encoder_layers": 12, "decoder_layers": 6,
        "pre_norm": False, "extractor_norm": "group", "normalize_waveform": False, "unit_dim": 256,
        "dropout": 0.1, "positional_dropout": 0.1, "attention_dropout": 0.1, "activation_dropout": 0.0,
        "encoder_layerdrop": 0.05, "decoder_layerdrop": 0.05, "feature_grad_mult": 0.1, "relative_distance": 160,
        "conv_channels": 512, "position_kernel": 128, "position_groups": 16,
        "mask_prob": 0.8, "mask_length": 10, "mask_channel_prob": 0.0, "mask_channel_length": 64,
        "codebook_groups": 2, "codebook_entries": 100, "codebook_prob": 0.1,
        "gumbel_start": 2.0, "gumbel_end": 0.5, "gumbel_decay": 0.999995,
        "reduction_factor": 2, "speech_prenet_dim": 256, "speech_prenet_dropout": 0.5,
        "postnet_layers": 5, "postnet_channels": 256, "postnet_dropout": 0.5,
    },
    SpeechT5LargeConfig: {
        "embed_dim": 1024, "ffn_dim": 4096, "attention_heads": 16, "encoder_layers": 24, "decoder_layers": 6,
        "pre_norm": True, "extractor_norm": "layer", "normalize_waveform": True, "unit_dim": 768,
        "dropout": 0.0, "positional_dropout": 0.1, "attention_dropout": 0.0, "activation_dropout": 0.0,
        "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0, "feature_grad_mult": 1.0,
    },
    PretrainCriterionConfig: {
        "masked_weight": 1.0, "unmasked_weight": 0.0, "feature_penalty_weight": 10.0, "diversity_weight": 0.1,
        "reconstruction_weight": 1.0, "text_weight": 1.0,
    },
    PretrainTaskConfig: {
        "text_batch_ratio": 0.0086, "crop_samples": 250_000, "unit_rate": SAMPLE_RATE // ENCODER_STRIDE,
        "infilling_ratio": 0.3, "infilling_span": 3.5, "infilling_random": 0.1,
    },
    S2TCriterionConfig: {
        "ce_weight": 0.5, "ctc_weight": 0.5, "label_smoothing": 0.1, "keep_infinite_ctc": False,
    },
    SpeechCriterionConfig: {
        "mel_loss": "l1", "stop_weight": 5.0, "guided_attention_weight": 10.0, "guided_attention_sigma": 0.4,
        "guided_attention_heads": 2,
    },
    T2STaskConfig: {"generation_prenet_dropout": "seeded", "vocoder": "griffin-lim"},
    S2CTaskConfig: {"crop_samples": round(3.2 * SAMPLE_RATE)},
    SpeechEncoderPrenet: {"MIN_SPANS": 2},
}  # fmt: skip


@pytest.mark.parametrize("home", FACTS, ids=lambda home: home.__name__)
def test_facts_are_the_defaults(home):
    values = vars(home()) if hasattr(home, "__dataclass_fields__") else vars(home)
    assert {name: values[name] for name in FACTS[home]} == FACTS[home]
