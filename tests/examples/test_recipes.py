"""The full-scale recipes have the reference's numbers, as far as they are told."""

from pathlib import Path

import pytest

from speecht5_fairseq.plan.configuration import read_flags, training_config

EXAMPLES = Path(__file__).parents[2] / "examples"

FINE_TUNING = {"model.activation_dropout": 0.1, "model.dropout": 0.1, "model.attention_dropout": 0.1}
ADAM = {"optimizer._name": "adam", "optimizer.adam_betas": (0.9, 0.98)}
INVERSE_SQRT = {"lr_scheduler._name": "inverse_sqrt"}
CONVERSION = {
    **ADAM, **INVERSE_SQRT, "optimization.lr": [1e-4], "lr_scheduler.warmup_updates": 6000, "model.dropout": 0.2,
    "model.mask_prob": 0.0, "model.feature_grad_mult": 1.0, "criterion.guided_attention_weight": 10.0,
}  # fmt: skip
RECIPES = {
    "pretrain/librispeech_960h": {
        **ADAM, "optimizer.adam_eps": 1e-6, "optimizer.weight_decay": 0.01, "optimization.clip_norm": 5.0,
        "optimization.lr": [2e-4], "lr_scheduler._name": "polynomial_decay", "lr_scheduler.warmup_updates": 64_000,
        "lr_scheduler.total_num_update": 800_000, "optimization.max_update": 800_000,
        "dataset.max_tokens": 1_400_000, "optimization.update_freq": [8],  # 8 GPUs x 8 are 32 x 2
        "task.crop_samples": 250_000, "task.min_speech_samples": 2 * 16_000, "task.text_batch_ratio": 0.0086,
        "task.infilling_ratio": 0.3, "task.infilling_span": 3.5, "task.infilling_random": 0.1,
        "model.mask_prob": 0.8, "model.mask_length": 10, "model.codebook_prob": 0.1, "model.feature_grad_mult": 0.1,
        "model.dropout": 0.1, "model.attention_dropout": 0.1, "model.activation_dropout": 0.0,
        "model.encoder_layerdrop": 0.05, "model.decoder_layerdrop": 0.05,
        "criterion.feature_penalty_weight": 10.0, "criterion.diversity_weight": 0.1,
    },
    "asr/librispeech_100h": {
        **FINE_TUNING, "optimizer._name": "adam", "optimization.clip_norm": 25.0, "optimization.lr": [6e-5],
        "lr_scheduler._name": "tri_stage", "lr_scheduler.phase_ratio": (0.1, 0.4, 0.5),
        "optimization.max_update": 80_000, "model.freeze_encoder_updates": 13_000,
        "model.mask_prob": 0.75, "model.mask_length": 10, "model.mask_channel_prob": 0.5,
        "model.mask_channel_length": 64, "model.feature_grad_mult": 0.0,
        "model.encoder_layerdrop": 0.1, "model.decoder_layerdrop": 0.1,
        "criterion.ce_weight": 0.5, "criterion.ctc_weight": 0.5, "criterion.label_smoothing": 0.1,
    },
    "st/mustc": {
        **FINE_TUNING, **INVERSE_SQRT, "optimization.lr": [2e-4], "lr_scheduler.warmup_updates": 25_000,
        "criterion.ce_weight": 1.0, "criterion.ctc_weight": 0.0, "criterion.label_smoothing": 0.1,
        "model.no_ctc_head": True, "model.feature_grad_mult": 1.0,
    },
    "tts/libritts": {
        **INVERSE_SQRT, "optimization.lr": [1e-4], "lr_scheduler.warmup_updates": 10_000, "model.dropout": 0.15,
        "model.reduction_factor": 2, "model.freeze_encoder_updates": 20_000,
        "criterion.guided_attention_weight": 10.0,
    },
    "vc/cmu_arctic": CONVERSION,
    "se/wham": CONVERSION,
    "sid/voxceleb1": {
        **FINE_TUNING, "dataset.batch_size": 8, "lr_scheduler._name": "triangular", "optimization.lr": [1e-8],
        "lr_scheduler.max_lr": 2e-4, "task.crop_samples": round(3.2 * 16_000), "model.mask_prob": 0.0,
        "model.feature_grad_mult": 1.0,
    },
}  # fmt: skip


def plain(value):
    """Lists, and fairseq's lists in a text, as they compare."""
    if isinstance(value, str) and value.startswith(("(", "[")):
        return tuple(float(part) for part in value.strip("()[]").split(","))
    return list(value) if not isinstance(value, (str, bool, int, float)) else value


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_has_the_references_numbers(recipe):
    cfg = training_config(read_flags(EXAMPLES / f"{recipe}.sh"))
    found = {}
    for name, wanted in RECIPES[recipe].items():
        group, option = name.split(".")
        value = plain(cfg[group][option])
        found[name] = tuple(value) if isinstance(wanted, tuple) else value
    assert found == RECIPES[recipe]
