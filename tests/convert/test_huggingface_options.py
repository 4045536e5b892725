"""Options of `transformers`' SpeechT5 and ours: what it takes where config.json is silent, and every value back."""

from dataclasses import replace

import pytest
from helpers import tiny_config, tiny_dictionary
from transformers import SpeechT5Config as TheirConfig
from transformers import SpeechT5FeatureExtractor

from speecht5_fairseq.convert.huggingface_options import (
    CLASSES,
    DEFAULTS,
    DROPOUTS,
    FIXED,
    RENAMED,
    SIZES,
    config_from_huggingface,
    config_to_huggingface,
    extractor_settings,
    generation_config,
)
from speecht5_fairseq.models import SpeechT5Config, SpeechT5SmallConfig

# Options of theirs that no tensor and no result of a model depends on, and those that say which symbols are which.
OTHERS = {
    "max_text_positions", "max_speech_positions", "initializer_range", "use_guided_attention_loss",
    "guided_attention_loss_num_heads", "guided_attention_loss_sigma", "guided_attention_loss_scale", "use_cache",
    "is_encoder_decoder", "tie_word_embeddings", "bos_token_id", "eos_token_id",
}  # fmt: skip
KNOWN = {*RENAMED, *SIZES, *DROPOUTS, *FIXED, *DEFAULTS}


def plain(value):
    return list(value) if isinstance(value, tuple) else value


def test_every_option_of_theirs_is_known():
    own = {name for name in vars(TheirConfig()) if hasattr(TheirConfig, name) and name in TheirConfig.__annotations__}
    assert own == KNOWN | OTHERS


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_defaults_are_theirs(name):
    """A config.json may leave out what is at its default."""
    ours = {theirs: getattr(SpeechT5Config, ours) for theirs, ours in RENAMED.items()} | FIXED | DEFAULTS
    ours |= {one: ours[other] for one, other in SIZES.items()}
    assert plain(getattr(TheirConfig(), name)) == ours[name]


@pytest.mark.parametrize("job", CLASSES)
def test_what_is_written_is_taken_and_read_again(job):
    config = tiny_config(
        _name="speecht5", mask_prob=0.3, mask_channel_prob=0.2, extractor_norm="layer", normalize_waveform=True,
        dropout=0.15, attention_dropout=0.05, decoder_layerdrop=0.02, reduction_factor=3, postnet_dropout=0.4,
    )  # fmt: skip
    settings = config_to_huggingface(config, job, vocabulary=34, dtype="float32")
    theirs = TheirConfig(**settings)
    assert all(plain(getattr(theirs, name)) == settings[name] for name in KNOWN | OTHERS if name in settings)
    again, notes = config_from_huggingface(theirs.to_dict(), extractor_settings(config), job, "here")
    assert again == replace(config, **{name: getattr(again, name) for name in unknown_there()}) and not notes


def unknown_there() -> set[str]:
    """Options of ours that theirs has none for."""
    ours = {name for name in vars(SpeechT5Config()) if not name.startswith("_")}
    return ours - {*RENAMED.values(), "conv_channels", "normalize_waveform"}


def test_a_model_without_masks_keeps_its_vector_there():
    """Theirs builds the vector only where it is told to mask; apply_spec_augment turns the masks themselves off."""
    config = SpeechT5SmallConfig(mask_prob=0.0, mask_channel_prob=0.0)
    settings = config_to_huggingface(config, "s2t", vocabulary=34, dtype="float32")
    assert settings["mask_time_prob"] > 0 and not settings["apply_spec_augment"]
    again, _ = config_from_huggingface(settings, {}, "s2t", "here")
    assert (again.mask_prob, again.mask_channel_prob) == (0, 0)


def test_mel_settings_are_those_of_their_own_extractor():
    ours, theirs = extractor_settings(SpeechT5Config()), SpeechT5FeatureExtractor().to_dict()
    assert {name: theirs[name] for name in ours if name in theirs} == {
        name: ours[name] for name in ours if name in theirs
    }
    assert set(ours) - set(theirs) <= {"processor_class"}


def test_only_a_text_that_is_written_has_symbols_to_suppress():
    symbols = tiny_dictionary().symbols
    assert generation_config("s2t", symbols)["suppress_tokens"] == [0, 1, len(symbols) - 2, len(symbols) - 1]
    assert "suppress_tokens" not in generation_config("t2s", symbols)
