"""Numerics against the SpeechT5 of `transformers`, an implementation of its own, with random weights.

Both speech models of `transformers` let padding reach the extractor's GroupNorm, the position convolution and the
post-net, so a padded batch of ours is held against its utterances alone there; text is held against its batch too.
"""

import pytest
import torch
from helpers import (
    TINY_SIZES,
    alone,
    mel_target,
    scramble,
    speech_source,
    text_tokens,
    tiny_config,
    tiny_dictionary,
)
from transformers import SpeechT5Config as TheirConfig
from transformers import SpeechT5ForSpeechToSpeech, SpeechT5ForSpeechToText, SpeechT5ForTextToSpeech

from speecht5_fairseq.constants import CONV_LAYERS
from speecht5_fairseq.convert.huggingface import (
    TABLE,
    from_huggingface,
    named_today,
    ours_named,
    rearranged,
    to_huggingface,
)
from speecht5_fairseq.generation.speech import SpeechLimits, generate_speech
from speecht5_fairseq.models import SpeechT5Config, SpeechT5Model
from speecht5_fairseq.models.jobs import JOBS

CLASSES = {"s2t": SpeechT5ForSpeechToText, "t2s": SpeechT5ForTextToSpeech, "s2s": SpeechT5ForSpeechToSpeech}
EMBEDDING = "speecht5.decoder.prenet.embed_tokens.weight"
SHORT = (4000, 9117, 16000)  # samples; 12, 28 and 49 frames


def their_config(cfg: SpeechT5Config) -> TheirConfig:
    dictionary = tiny_dictionary()
    return TheirConfig(
        vocab_size=len(dictionary),
        hidden_size=cfg.embed_dim,
        encoder_layers=cfg.encoder_layers,
        encoder_attention_heads=cfg.attention_heads,
        encoder_ffn_dim=cfg.ffn_dim,
        decoder_layers=cfg.decoder_layers,
        decoder_attention_heads=cfg.attention_heads,
        decoder_ffn_dim=cfg.ffn_dim,
        encoder_max_relative_position=cfg.relative_distance,
        conv_dim=[cfg.conv_channels] * len(CONV_LAYERS),
        feat_extract_norm=str(cfg.extractor_norm),
        num_conv_pos_embeddings=cfg.position_kernel,
        num_conv_pos_embedding_groups=cfg.position_groups,
        speech_decoder_prenet_units=cfg.speech_prenet_dim,
        speech_decoder_postnet_layers=cfg.postnet_layers,
        speech_decoder_postnet_units=cfg.postnet_channels,
        reduction_factor=cfg.reduction_factor,
        pad_token_id=dictionary.pad(),
        bos_token_id=dictionary.bos(),
        eos_token_id=dictionary.eos(),
        decoder_start_token_id=dictionary.eos(),
        scale_embedding=False,
    )


def pair(job: str, cfg: SpeechT5Config, seed: int = 0, noise: float = 0.1):
    """Our model and theirs with the same random weights, both in evaluation and theirs without pre-net dropout."""
    torch.manual_seed(seed)
    theirs = scramble(CLASSES[job](their_config(cfg)), noise).eval()
    if job != "s2t":
        theirs.speecht5.decoder.prenet._consistent_dropout = lambda inputs, p: inputs  # theirs stays on in evaluation
    dictionary = tiny_dictionary()
    ours = SpeechT5Model(cfg, JOBS[job], symbols=list(dictionary.symbols), padding=dictionary.pad(), units=0)
    names = [name for name in ours.state_dict() if TABLE.theirs(name)]
    ours.load_state_dict(from_huggingface(theirs.state_dict(), names))
    return ours.eval(), theirs


def worst(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    assert ours.shape == theirs.shape
    return (ours - theirs).abs().max().item()


@pytest.mark.parametrize("job", CLASSES)
@pytest.mark.parametrize("norm", ["group", "layer"])
def test_the_table_covers_both_sides(job, norm):
    cfg = tiny_config(extractor_norm=norm)
    dictionary = tiny_dictionary()
    ours = SpeechT5Model(cfg, JOBS[job], symbols=list(dictionary.symbols), padding=dictionary.pad(), units=0)
    names = {name: TABLE.theirs(name) for name in ours.state_dict()}
    without = {name for name, theirs in names.items() if theirs is None}
    ctc = {"ctc_head.projection.weight", "ctc_head.projection.bias"} if job == "s2t" else set()
    assert without == ctc | ({"vocabulary.symbols"} if job != "s2s" else set())
    theirs = CLASSES[job](their_config(cfg)).state_dict()
    assert set(names.values()) - {None} == set(theirs)
    assert all(ours.state_dict()[name].shape == theirs[other].shape for name, other in names.items() if other)


def test_a_tensor_without_counterpart_is_named():
    with pytest.raises(KeyError, match="2 tensors .*ctc_head.projection.bias .no counterpart.*encoder.layer_norm.bias"):
        from_huggingface({}, ["ctc_head.projection.bias", "encoder.layer_norm.bias"])
    assert TABLE.theirs("encoder.layers.0.norm_k.weight") is None


@torch.no_grad()
@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("samples", [400, 719, *SHORT])
def test_recognition_alone(norm, samples):
    ours, theirs = pair("s2t", tiny_config(extractor_norm=norm))
    source, previous = speech_source(samples), text_tokens(6, start=2)
    expected = theirs(input_values=source["waveform"], decoder_input_ids=previous)
    output = ours(**source, prev_output_tokens=previous)
    assert worst(output.encoded.states, expected.encoder_last_hidden_state) < 2e-5
    assert worst(output.text_logits, expected.logits) < 2e-5


@torch.no_grad()
@pytest.mark.parametrize("norm", ["group", "layer"])
def test_recognition_in_a_padded_batch_is_theirs_alone(norm):
    ours, theirs = pair("s2t", tiny_config(extractor_norm=norm))
    source, previous = speech_source(*SHORT, garbage=7.0), text_tokens(4, 7, 5, start=2)
    output = ours(**source, prev_output_tokens=previous)
    for row, samples in enumerate(SHORT):
        tokens = int((previous[row] != tiny_dictionary().pad()).sum())
        wave = source["waveform"][row : row + 1, :samples]
        expected = theirs(input_values=wave, decoder_input_ids=previous[row : row + 1, :tokens])
        frames = int(output.encoded.lengths[row])
        assert worst(output.encoded.states[row : row + 1, :frames], expected.encoder_last_hidden_state) < 2e-5
        assert worst(output.text_logits[row : row + 1, :tokens], expected.logits) < 2e-5


@torch.no_grad()
@pytest.mark.parametrize("reduction", [1, 2, 3])
def test_synthesis_in_a_padded_batch(reduction):
    """Text is padding-exact on both sides; frames past an utterance's end reach only their post-net."""
    ours, theirs = pair("t2s", tiny_config(reduction_factor=reduction))
    tokens, target = text_tokens(5, 17, 11), mel_target(12, 30, 18)
    previous = shifted(target["target_frames"], reduction)
    expected = theirs.speecht5(
        input_values=tokens,
        attention_mask=(tokens != tiny_dictionary().pad()).long(),
        decoder_input_values=previous,
        speaker_embeddings=target["speaker"],
    )
    coarse, refined, stop = theirs.speech_decoder_postnet(expected.last_hidden_state)
    output = ours(source_tokens=tokens, **target)
    for row, (length, frames) in enumerate(zip((5, 17, 11), (12, 30, 18), strict=True)):
        states = expected.encoder_last_hidden_state
        assert worst(output.encoded.states[row, :length], states[row, :length]) < 2e-5
        assert worst(output.speech.coarse[row, :frames], coarse[row, :frames]) < 2e-5
        assert worst(output.speech.stop_logits[row, :frames], stop[row, :frames]) < 2e-5
        alone = theirs.speech_decoder_postnet.postnet(coarse[row : row + 1, :frames])[0]
        assert worst(output.speech.refined[row, :frames], alone) < 2e-5
    assert worst(output.speech.refined[1], refined[1]) < 2e-5  # the longest has no padding


@torch.no_grad()
@pytest.mark.parametrize("reduction", [1, 2])
def test_conversion_alone(reduction):
    ours, theirs = pair("s2s", tiny_config(reduction_factor=reduction))
    source, target = speech_source(9117), mel_target(14)
    expected = theirs.speecht5(
        input_values=source["waveform"],
        decoder_input_values=shifted(target["target_frames"], reduction),
        speaker_embeddings=target["speaker"],
    )
    coarse, refined, stop = theirs.speech_decoder_postnet(expected.last_hidden_state)
    output = ours(**source, **target).speech
    assert max(worst(output.coarse, coarse), worst(output.refined, refined), worst(output.stop_logits, stop)) < 2e-5


@torch.no_grad()
@pytest.mark.parametrize("reduction", [1, 2])
@pytest.mark.parametrize("job", ["t2s", "s2s"])
def test_generated_frames(job, reduction):
    """Autoregressive, each frame from the ones before; theirs runs its pre-net over all of them at every step."""
    ours, theirs = pair(job, tiny_config(reduction_factor=reduction))
    speaker = mel_target(1)["speaker"]
    source = {"source_tokens": text_tokens(9)} if job == "t2s" else speech_source(6000)
    inputs = source["source_tokens"] if job == "t2s" else source["waveform"]
    options = {"threshold": 10.0, "minlenratio": 0.0, "maxlenratio": 4.0}
    generate = theirs.generate_speech if job == "s2s" else theirs.generate
    expected = generate(inputs, speaker_embeddings=speaker, **options)
    inputs = {name: value for name, value in source.items() if name != "seeds"}
    limits = SpeechLimits(threshold=10.0, max_ratio=4.0)
    (found,) = generate_speech(ours, ours.encode(**inputs), speaker, limits=limits)
    assert found.hit_limit and len(found.mel) == len(expected) > 8
    assert worst(found.mel, expected) < 5e-5


@pytest.fixture(scope="module")
def base_pair():
    return pair("s2t", SpeechT5Config(), noise=0.02)


@torch.no_grad()
@pytest.mark.parametrize("samples", [(32_000,), (70_001,), (20_000, 12_345, 31_999)], ids=["2 s", "4 s", "padded"])
def test_recognition_at_base_size(base_pair, samples):
    """12 and 6 layers of width 768, as released; a batch of ours against their utterances alone."""
    ours, theirs = base_pair
    source, previous = speech_source(*samples), text_tokens(*[12] * len(samples), start=2)
    output = ours(**source, prev_output_tokens=previous)
    for row in range(len(samples)):
        waveform = alone(source, row)["waveform"]
        expected = theirs(input_values=waveform, decoder_input_ids=previous[row : row + 1])
        states = output.encoded.states[row : row + 1, : expected.encoder_last_hidden_state.size(1)]
        assert worst(states, expected.encoder_last_hidden_state) < 1e-4
        assert worst(output.text_logits[row : row + 1], expected.logits) < 1e-4


@torch.no_grad()
def test_synthesis_at_base_size():
    """Mel before and after the post-net and the stop logits of two lengths in a batch, ours padded with garbage."""
    ours, theirs = pair("t2s", SpeechT5Config(), noise=0.02)
    tokens, target = text_tokens(40, 23), mel_target(120, 74, garbage=7.0)
    output = ours(source_tokens=tokens, **target).speech
    for row, (length, frames) in enumerate(((40, 120), (23, 74))):
        expected = theirs.speecht5(
            input_values=tokens[row : row + 1, :length],
            decoder_input_values=shifted(target["target_frames"][row : row + 1, :frames], 2),
            speaker_embeddings=target["speaker"][row : row + 1],
        )
        theirs_alone = theirs.speech_decoder_postnet(expected.last_hidden_state)
        for mine, other in zip((output.coarse, output.refined, output.stop_logits), theirs_alone, strict=True):
            assert worst(mine[row : row + 1, :frames], other) < 1e-4


@torch.no_grad()
def test_masked_input_is_theirs():
    """The learned vector stands where the span mask says: theirs takes our mask."""
    ours, theirs = pair("s2t", tiny_config(mask_prob=0.5))
    source = speech_source(16_000)
    encoded = ours.encode(**source, mask=True)
    hidden, _ = theirs.speecht5.encoder.prenet(source["waveform"], mask_time_indices=encoded.masked)
    prenet = ours.speech_encoder_prenet(source["waveform"], source["sample_lengths"], mask=True, seeds=source["seeds"])
    assert encoded.masked.any() and not encoded.masked.all()
    assert worst(prenet.states, hidden) < 2e-5


def shifted(frames: torch.Tensor, reduction: int) -> torch.Tensor:
    """Their decoder's input: the last of every `reduction` frames, a zero frame first."""
    last = frames[:, reduction - 1 :: reduction]
    return torch.cat([torch.zeros_like(last[:, :1]), last[:, :-1]], dim=1)


def test_tiny_sizes_differ_from_each_other():
    """Equal sizes would hide a mixed-up dimension in every test above."""
    widths = [TINY_SIZES[name] for name in ("embed_dim", "ffn_dim", "conv_channels", "speech_prenet_dim")]
    assert len(set(widths)) == len(widths)


def test_what_theirs_has_no_name_for_is_left():
    ours = {name: torch.ones(1) for name in ("encoder.layer_norm.bias", "ctc_head.projection.bias", "unit_head.x")}
    ours |= {
        "text_decoder_prenet.embedding.weight": torch.ones(2),
        "text_decoder_postnet.embedding.weight": torch.ones(2),
    }
    split = to_huggingface(ours, [name for name in ours if name != "unit_head.x"])
    assert set(split.theirs) == {"speecht5.encoder.wrapped_encoder.layer_norm.bias", EMBEDDING}
    assert set(split.left) == {"ctc_head.projection.bias", "unit_head.x"}
    again = ours_named(named_today(split.theirs))  # the tied table stands in both places again
    assert again.keys() | split.left.keys() == ours.keys()


def test_names_of_older_versions_are_todays():
    conv = "speecht5.encoder.prenet.pos_conv_embed.conv"
    old = {f"{conv}.weight_g": 1, f"{conv}.weight_v": 2, "speecht5.decoder.prenet.encode_positions.pe": 3}
    today = named_today({**old, "speecht5.decoder.prenet.embed_positions.weights": 4, EMBEDDING: 5})
    weight = f"{conv}.parametrizations.weight.original"
    assert today == {f"{weight}0": 1, f"{weight}1": 2, EMBEDDING: 5, "text_decoder_postnet.lm_head.weight": 5}


def test_rows_are_put_where_they_belong():
    table = torch.arange(8.0).view(4, 2)
    found = rearranged({EMBEDDING: table, "other": table}, [2, None, 0])
    assert found[EMBEDDING].tolist() == [[4, 5], [0, 0], [0, 1]] and found["other"] is table
    counts = rearranged({EMBEDDING: table.half()}, [0])[EMBEDDING]
    assert counts.dtype == torch.float16
