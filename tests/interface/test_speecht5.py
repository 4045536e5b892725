"""The Python interface on tiny checkpoints of every job: against fairseq's own path, alone against together, errors."""

import numpy as np
import pytest
import torch
from checkpoints import tiny_checkpoint
from helpers import CLASSES, model_over, speech_source, tiny_base, tiny_piece_model

from speecht5_fairseq.constants import MEL_HOP
from speecht5_fairseq.convert.formats import convert
from speecht5_fairseq.data.errors import ManifestError
from speecht5_fairseq.generation.beam_search import JointBeamSearch
from speecht5_fairseq.generation.speech import SpeechLimits, generate_speech
from speecht5_fairseq.interface import SpeechT5
from speecht5_fairseq.interface.recordings import cut_at_pauses
from speecht5_fairseq.interface.texts import parts_of_texts
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.released_format import to_released

SAMPLES = (4000, 16000, 9117)
LIMITS = SpeechLimits(threshold=2.0, max_ratio=2.0)  # never a stop of its own
VOICE = np.random.default_rng(0).standard_normal(512).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def spm_model(folder):
    return tiny_piece_model(folder / "spm.model")


def loaded(folder, job, **options) -> SpeechT5:
    return SpeechT5.from_pretrained(tiny_checkpoint(folder / f"{job}.pt", job, **options), device="cpu")


def waves() -> list[torch.Tensor]:
    source = speech_source(*SAMPLES)
    return [row[:length] for row, length in zip(source["waveform"], SAMPLES, strict=True)]


def test_transcribe_is_the_joint_search(folder):
    model = loaded(folder, "s2t")
    found = model.transcribe(waves(), beam=3, max_len_b=4)
    search = JointBeamSearch(model.loaded.dictionary, beam=3, ctc_weight=0.5, max_len_a=0.5, max_len_b=4)
    for wave, transcript in zip(waves(), found, strict=True):
        source = {"waveform": wave[None], "sample_lengths": torch.tensor([len(wave)])}
        (best, *_) = search.generate([model.model], {"net_input": source})[0]
        assert transcript.score == pytest.approx(float(best["score"]), abs=1e-5)
        assert transcript.segments[0].tokens == len(best["tokens"])
        assert transcript.segments[0].end == pytest.approx(len(wave) / 16_000)


@pytest.mark.parametrize("criterion", [{"ctc_weight": 0.0}, {}])
def test_a_ctc_head_that_no_loss_trained_is_left_out_of_the_search(folder, criterion, caplog):
    """The published code builds one in translation too; weights so large that the scores are its own."""
    state = torch.load(tiny_checkpoint(folder / "st.pt", "s2t"))
    state["cfg"]["criterion"] = criterion
    state["model"]["ctc_head.projection.weight"] *= 1e4
    torch.save(state, folder / "st.pt")
    model = SpeechT5.from_pretrained(folder / "st.pt", device="cpu")
    options = {"beam": 2, "max_len_b": 3}
    found, without, half = (model.transcribe(waves()[0], ctc_weight=w, **options) for w in (None, 0.0, 0.5))
    assert found == without != half
    assert ("does not tell whether it was trained" in caplog.text) == (not criterion)


def test_alone_and_together_are_the_same(folder):
    model = loaded(folder, "s2t")
    together = model.transcribe(waves(), beam=2, max_len_b=3)
    alone = [model.transcribe(wave, beam=2, max_len_b=3) for wave in waves()]
    assert [each.text for each in together] == [each.text for each in alone]
    assert np.allclose([each.score for each in together], [each.score for each in alone], atol=1e-5)


def test_a_long_recording_is_recognised_in_stretches(folder):
    model = loaded(folder, "s2t")
    wave = torch.cat([0.1 * torch.randn(20_000), torch.zeros(6000), 0.1 * torch.randn(20_000)])
    found = model.transcribe(wave, beam=1, max_len_a=0, max_len_b=3, longest_seconds=2)
    first, second = found.segments
    assert (first.start, second.end) == (0, 46_000 / 16_000) and first.end == second.start
    assert 20_000 <= first.end * 16_000 <= 26_000
    assert found.text == " ".join(segment.text for segment in found.segments if segment.text)
    tokens = first.tokens + second.tokens
    assert found.score == pytest.approx((first.score * first.tokens + second.score * second.tokens) / tokens)


def test_translate_leaves_ctc_out(folder):
    model = loaded(folder, "s2t", no_ctc_head=True)
    one = model.translate(waves()[0], beam=2, max_len_b=3)
    assert one == model.transcribe(waves()[0], beam=2, ctc_weight=0.0, max_len_b=3)
    with pytest.raises(ValueError, match="CTC"):
        model.transcribe(waves()[0], ctc_weight=0.5)


def test_synthesize_is_the_generation_of_frames(folder, spm_model):
    model = loaded(folder, "t2s", spm_model=spm_model)
    texts = ["ABC D", "EF"]
    found = model.synthesize(texts, VOICE, limits=LIMITS, vocoder="none", seed=None)
    for text, speech in zip(texts, found, strict=True):
        ((tokens,),) = parts_of_texts([text], model.loaded, 300)
        assert model.loaded.dictionary.string(tokens).replace(" ", "") == "▁" + text.replace(" ", "▁")
        encoded = model.model.encode(source_tokens=tokens[None])
        (expected,) = generate_speech(model.model, encoded, torch.from_numpy(VOICE)[None], limits=LIMITS)
        assert np.allclose(speech.mel, expected.mel.numpy(), atol=1e-5)
        assert speech.waveform is None and speech.hit_limit
        assert speech.focus_rate == pytest.approx(expected.focus_rate, abs=1e-5)


def test_half_precision_says_nearly_the_same(folder, spm_model):
    path = tiny_checkpoint(folder / "half.pt", "t2s", spm_model=spm_model)
    exact, half = (SpeechT5.from_pretrained(path, device="cpu", precision=each) for each in ("float32", "float16"))
    mels = [model.synthesize("ABC D", VOICE, limits=LIMITS, vocoder="none", seed=None).mel for model in (exact, half)]
    assert 0 < np.abs(mels[0] - mels[1]).max() < 1e-2
    with pytest.raises(ValueError, match="precision 'half': give float32, float16, bfloat16"):
        SpeechT5.from_pretrained(path, precision="half")
    without = tiny_checkpoint(folder / "no_decoder.pt", "s2c", speaker_pooling="mean")
    with pytest.raises(ValueError, match="precision 'float16' has no effect: .*no_decoder.pt has no decoder"):
        SpeechT5.from_pretrained(without, precision="float16")


def test_a_long_text_is_spoken_in_parts_with_pauses(folder, spm_model):
    model = loaded(folder, "t2s", spm_model=spm_model)
    whole = model.synthesize("AB. CD.", VOICE, limits=LIMITS, vocoder="none")
    parts = model.synthesize("AB. CD.", VOICE, limits=LIMITS, vocoder="none", longest_text=5)
    each = [model.synthesize(text, VOICE, limits=LIMITS, vocoder="none") for text in ("AB.", "CD.")]
    pause = round(0.2 * 16_000 / MEL_HOP)
    assert len(parts.mel) == len(each[0].mel) + pause + len(each[1].mel) != len(whole.mel)
    assert np.allclose(parts.mel[: len(each[0].mel)], each[0].mel, atol=1e-5)


def test_dropout_is_seeded_for_each_text_alike(folder, spm_model):
    model = loaded(folder, "t2s", spm_model=spm_model, speech_prenet_dropout=0.5)
    one, other = model.synthesize(["AB", "AB"], VOICE, limits=LIMITS, vocoder="none", seed=3)
    assert np.allclose(one.mel, other.mel, atol=1e-5)
    again = model.synthesize("AB", VOICE, limits=LIMITS, vocoder="none", seed=4)
    assert not np.allclose(one.mel, again.mel, atol=1e-3)


def test_convert_voice_is_the_generation_of_frames(folder):
    model = loaded(folder, "s2s")
    limits = SpeechLimits(threshold=2.0, max_ratio=0.5)
    found = model.convert_voice(waves(), VOICE, limits=limits, vocoder="none", seed=None)
    wave = waves()[1]
    encoded = model.model.encode(waveform=wave[None], sample_lengths=torch.tensor([len(wave)]))
    (speech,) = generate_speech(model.model, encoded, torch.from_numpy(VOICE)[None], limits=limits)
    assert np.allclose(found[1].mel, speech.mel.numpy(), atol=1e-5)


def test_a_waveform_comes_with_a_vocoder_and_is_saved(folder, tmp_path):
    import soundfile

    model = loaded(folder, "s2s")
    speech = model.convert_voice(waves()[0], VOICE, limits=SpeechLimits(threshold=2.0, max_ratio=0.5))
    assert len(speech.waveform) == len(speech.mel) * MEL_HOP
    speech.save(tmp_path / "out.wav")
    assert soundfile.info(tmp_path / "out.wav").samplerate == speech.sample_rate == 16_000
    silent = model.convert_voice(waves()[0], VOICE, limits=SpeechLimits(max_ratio=0.5), vocoder="none")
    with pytest.raises(ValueError, match="no waveform"):
        silent.save(tmp_path / "none.wav")


@pytest.mark.parametrize("prediction", ["mask", "residual"])
def test_enhance_keeps_the_phases_where_the_model_predicts_from_the_source(folder, prediction):
    model = loaded(folder, "s2s", speech_prediction=prediction, reduction_factor=1)
    found = model.enhance(waves(), VOICE)
    assert [len(speech.waveform) for speech in found] == list(SAMPLES)
    assert [len(speech.mel) for speech in found] == [1 + samples // MEL_HOP for samples in SAMPLES]


def test_the_phases_of_the_source_need_such_a_model(folder):
    with pytest.raises(ValueError, match="vocoder 'source' is for enhancement by a mask"):
        loaded(folder, "s2s").convert_voice(waves()[0], VOICE, vocoder="source", limits=SpeechLimits(max_ratio=0.1))


def test_identify_and_embed(folder):
    model = loaded(folder, "s2c", mask_prob=0.0)
    found = model.identify(waves(), top=2)
    wave = waves()[2]
    output = model.model.classify(model.model.encode(waveform=wave[None], sample_lengths=torch.tensor([len(wave)])))
    probabilities = output.logits.softmax(-1)[0]
    assert found[2].name == CLASSES[int(probabilities.argmax())]
    assert found[2].probability == pytest.approx(float(probabilities.max()), abs=1e-6)
    assert len(found[2].classes) == 2 and list(found[2].classes)[0] == found[2].name
    assert len(model.identify(wave, top=99).classes) == len(CLASSES)
    assert np.allclose(model.embed(waves())[2], output.embedding[0].numpy(), atol=1e-5)
    assert np.allclose(model.embed(wave), output.embedding[0].numpy(), atol=1e-5)


def test_features_of_every_layer(folder):
    model = loaded(folder, "s2t")
    for layer in (0, 1, None):
        found = model.extract_features(waves(), layer=layer)
        assert [array.shape for array in found] == [(12, 24), (49, 24), (28, 24)]
        alone = model.extract_features(waves()[2], layer=layer)
        assert np.allclose(alone, found[2], atol=1e-5)
    with pytest.raises(ValueError, match="layer 3: the encoder has 2 layers"):
        model.extract_features(waves()[0], layer=3)


@pytest.mark.parametrize(
    "job, method, mine",
    [
        ("s2t", "synthesize", "transcribe, translate"),
        ("t2s", "transcribe", "synthesize"),
        ("s2c", "enhance", "identify, embed"),
        ("pretrain", "transcribe", "extract_features"),
    ],
)
def test_a_method_of_another_job_is_refused_with_what_there_is(folder, job, method, mine):
    model = loaded(folder, job)
    with pytest.raises(ValueError, match=f"a checkpoint of {job}, and {method} needs one of .*; this one can {mine}$"):
        getattr(model, method)(waves()[0], *([VOICE] if method in ("synthesize", "enhance") else []))


def test_a_text_that_cannot_be_said_is_named_by_its_place(folder, spm_model):
    model = loaded(folder, "t2s", spm_model=spm_model)
    with pytest.raises(ManifestError, match="^text:2: "):
        model.synthesize(["AB", ""], VOICE)


def test_a_released_checkpoint_needs_its_dictionary(folder, tmp_path):
    whole = tiny_checkpoint(tmp_path / "ours.pt", "s2t")
    state = torch.load(whole)
    torch.save({**state, "model": to_released(state["model"]), "task_state": {}}, tmp_path / "released.pt")
    with pytest.raises(CheckpointError, match="does not hold its symbols; give its dict.txt"):
        SpeechT5.from_pretrained(tmp_path / "released.pt")
    symbols = SpeechT5.from_pretrained(whole).loaded.dictionary.symbols[4:-2]
    (tmp_path / "dict.txt").write_text("".join(f"{symbol} 1\n" for symbol in symbols))
    model = SpeechT5.from_pretrained(tmp_path / "released.pt", dictionary=tmp_path / "dict.txt", device="cpu")
    ours = SpeechT5.from_pretrained(whole, device="cpu")
    assert model.transcribe(waves()[0], max_len_b=3) == ours.transcribe(waves()[0], max_len_b=3)


def test_additions_load_over_their_base_where_it_is_now(tmp_path):
    base = tiny_base(tmp_path / "base.pt", "s2t")
    model = model_over(base, "s2t", lora_rank=2)
    path = tiny_checkpoint(tmp_path / "lora.pt", "s2t", lora_rank=2, base_checkpoint="/gone/base.pt")
    state = torch.load(path)
    torch.save({**state, "model": model.state_dict()}, path)
    moved = (tmp_path / "elsewhere").with_suffix(".pt")
    base.rename(moved)
    found = SpeechT5.from_pretrained(path, base_checkpoint=moved, device="cpu")
    wave = waves()[0]
    states = model.eval().encode(waveform=wave[None], sample_lengths=torch.tensor([len(wave)])).states[0]
    assert np.allclose(found.extract_features(wave), states.detach().numpy(), atol=1e-5)
    with pytest.raises(CheckpointError, match="base"):
        SpeechT5.from_pretrained(path)


@pytest.mark.parametrize("job", ["s2t", "t2s", "s2s"])
def test_a_folder_of_transformers_does_the_same(job, folder, spm_model, tmp_path):
    text = {} if job == "s2s" else {"spm_model": spm_model}
    path = tiny_checkpoint(tmp_path / "ours.pt", job, **text)
    convert(path, tmp_path / "theirs", "hf")
    ours, theirs = (SpeechT5.from_pretrained(file, device="cpu") for file in (path, tmp_path / "theirs"))
    assert theirs.job == job
    limits = {"limits": SpeechLimits(threshold=2.0, max_ratio=0.5), "vocoder": "none", "seed": None}
    if job == "s2t":
        assert theirs.transcribe(waves()[0], max_len_b=3) == ours.transcribe(waves()[0], max_len_b=3)
    elif job == "t2s":
        one, other = (model.synthesize("ABC D", VOICE, **limits | {"limits": LIMITS}) for model in (ours, theirs))
        assert np.array_equal(one.mel, other.mel)
    else:
        one, other = (model.convert_voice(waves()[0], VOICE, **limits) for model in (ours, theirs))
        assert np.array_equal(one.mel, other.mel)


@pytest.mark.parametrize(
    "job, argument, why",
    [
        ("s2s", "dictionary", "a model of s2s has no symbols and no classes"),
        ("s2s", "spm_model", "a model of s2s reads no text"),
        ("s2t", "spm_model", "a model of s2t reads no text"),
        ("s2t", "base_checkpoint", "this is a whole model, not additions to a base"),
    ],
)
def test_files_without_effect_are_refused(folder, job, argument, why):
    path = tiny_checkpoint(folder / f"{job}.pt", job)
    with pytest.raises(ValueError, match=f"^{argument} '/nope/file' has no effect on {path}: {why}; leave it out$"):
        SpeechT5.from_pretrained(path, **{argument: "/nope/file"})


def test_options_of_a_newer_version_are_refused(tmp_path):
    path = tiny_checkpoint(tmp_path / "newer.pt", "s2t")
    state = torch.load(path)
    state["cfg"]["model"]["rotary_positions"] = True
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="newer.pt: options that this version does not know: rotary_positions"):
        SpeechT5.from_pretrained(path)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_named(folder, device):
    with pytest.raises(ValueError, match=f"^device '{device}': not usable here .*; give cpu, cuda or cuda:1$"):
        SpeechT5.from_pretrained(tiny_checkpoint(folder / "s2t.pt", "s2t"), device=device)


def test_a_vocoder_that_is_not_there_is_named_before_anything_is_generated(folder, spm_model, monkeypatch):
    model = loaded(folder, "t2s", spm_model=spm_model)
    monkeypatch.setattr(model.computing, "spoken", None)  # what would generate
    with pytest.raises(ValueError, match="no vocoder '.*nowhere'"):
        model.synthesize("AB", VOICE, vocoder=folder / "nowhere")
    with pytest.raises(ValueError, match="vocoder 'source' is for enhancement"):
        model.synthesize("AB", VOICE, vocoder="source")


LONG = torch.cat([0.1 * torch.randn(20_000), torch.zeros(6000), 0.1 * torch.randn(20_333)])


def stretches() -> tuple[list[torch.Tensor], list[int]]:
    """``LONG`` as it is cut within 2 s, and the lengths of its stretches."""
    spans = cut_at_pauses(LONG, 2)
    assert len(spans) == 2
    return [LONG[slice(*span)] for span in spans], [span.end - span.start for span in spans]


def test_states_of_a_long_recording_follow_each_other_as_many_as_of_the_whole(folder):
    model = loaded(folder, "s2t")
    whole = model.extract_features(LONG, longest_seconds=float("inf"))
    cut = model.extract_features(LONG, longest_seconds=2)
    assert cut.shape == whole.shape == ((len(LONG) - 400) // 320 + 1, 24)
    start = cut_at_pauses(LONG, 2)[1].start
    assert np.allclose(cut[start // 320 :], model.extract_features(LONG[start:]), atol=1e-5)
    assert np.allclose(cut[: start // 320], model.extract_features(LONG[: start + 80]), atol=1e-5)


def test_who_speaks_in_a_long_recording_is_the_mean_over_its_stretches(folder):
    model = loaded(folder, "s2c", mask_prob=0.0)
    parts, lengths = stretches()
    vectors = np.stack(model.embed(parts))
    assert np.allclose(model.embed(LONG, longest_seconds=2), np.average(vectors, axis=0, weights=lengths), atol=1e-5)
    logs = [np.log([each.classes[name] for name in CLASSES]) for each in model.identify(parts)]
    mean = np.exp(np.average(logs, axis=0, weights=lengths))
    found = model.identify(LONG, longest_seconds=2)
    assert np.allclose([found.classes[name] for name in CLASSES], mean / mean.sum(), atol=1e-5)
    assert found.name == CLASSES[mean.argmax()] and sum(found.classes.values()) == pytest.approx(1)


@pytest.mark.parametrize("method", ["identify", "embed", "extract_features"])
def test_long_recordings_are_cut_by_default(folder, method, monkeypatch):
    model = loaded(folder, "s2c", mask_prob=0.0)
    heard, compute = [], model.computing.heard
    monkeypatch.setattr(model.computing, "heard", lambda waves: heard.extend(map(len, waves)) or compute(waves))
    getattr(model, method)(torch.zeros(31 * 16_000))
    assert len(heard) == 2 and max(heard) <= 30 * 16_000 + 80
