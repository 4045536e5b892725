"""A base checkpoint beneath a model: found, named by its content, frozen, and held once for several models."""

import gc

import pytest
import torch
from helpers import mel_target, model_over, speech_source, text_tokens, tiny_base, tiny_dictionary, tiny_model

from speecht5_fairseq.models.base_checkpoint import Bases, digest_of, find
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.models.loading import TIED_EMBEDDINGS
from speecht5_fairseq.models.partial import whole_state

LORA = {"lora_rank": 2, "lora_targets": "q,k,v,out,fc1,fc2"}


def tensors_of(path):
    return torch.load(path)["model"]


def learning(model):
    return {name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter.requires_grad}


def logits(model):
    with torch.no_grad():
        return model.eval()(**speech_source(6400, 4000), prev_output_tokens=text_tokens(5, 4, start=2)).text_logits


def frames(model):
    with torch.no_grad():
        tokens = {"source_tokens": text_tokens(6), "seeds": torch.tensor([3])}
        return model.eval()(**tokens, **mel_target(8)).speech.refined


def test_the_digest_is_that_of_the_tensors(tmp_path):
    tensors = tensors_of(tiny_base(tmp_path / "base.pt"))
    digest = digest_of(tensors)
    assert digest == digest_of(dict(reversed(tensors.items()))) and len(digest) == 64
    name = "encoder.layers.1.feed_forward.fc2.weight"
    moved = tensors[name].clone()
    moved[3, 4] = torch.nextafter(moved[3, 4], torch.tensor(9.0))
    for change in ({name: moved}, {name: tensors[name].half()}, {name: tensors[name].T}, {"other": torch.zeros(1)}):
        assert digest_of({**tensors, **change}) != digest
    assert digest_of({**tensors, name: tensors[name].T.contiguous().T}) == digest  # the same values, laid out anew


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int64, torch.bool, torch.float32])
def test_tensors_of_every_kind_have_a_digest(dtype):
    assert digest_of({"a": torch.ones((), dtype=dtype)}) != digest_of({"a": torch.zeros((), dtype=dtype)})


def test_a_base_is_found_as_named_or_beside_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adapters" / "bases").mkdir(parents=True)
    beside = [tmp_path / "adapters"]
    with pytest.raises(CheckpointError) as error:
        find("bases/base.pt", beside)
    for place in ("bases/base.pt", tmp_path / "adapters/bases/base.pt", tmp_path / "adapters/base.pt"):
        assert str(place) in str(error.value)
    for mend in ("--base-checkpoint,", "base_checkpoint=,", "--model-overrides \"{'base_checkpoint': 'PATH'}\""):
        assert mend in str(error.value)
    for place in ("adapters/base.pt", "adapters/bases/base.pt", "bases/base.pt"):  # each before the ones so far
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
        assert find("bases/base.pt", beside).resolve() == tmp_path / place


def test_a_checkpoint_over_a_base_is_not_taken_for_the_base(tmp_path, monkeypatch):
    """Both are called checkpoint_last.pt, and the base was moved away."""
    monkeypatch.chdir(tmp_path)
    model = model_over(tiny_base(tmp_path / "base.pt"), **LORA)
    (tmp_path / "adapters").mkdir()
    torch.save({"model": model.state_dict()}, tmp_path / "adapters/checkpoint_last.pt")
    with pytest.raises(CheckpointError, match="--base-checkpoint pretrain/checkpoint_last.pt: no such file"):
        find("pretrain/checkpoint_last.pt", [tmp_path / "adapters"])


def test_a_base_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "base.pt").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="base.pt: no readable checkpoint"):
        Bases().read(str(tmp_path / "base.pt"))


def test_a_base_over_a_base_is_refused(tmp_path):
    base = tiny_base(tmp_path / "base.pt")
    torch.save({"model": model_over(base, **LORA).state_dict()}, tmp_path / "adapter.pt")
    with pytest.raises(CheckpointError, match="additions to a base of its own.*convert.merge .*adapter.pt"):
        Bases().read(str(tmp_path / "adapter.pt"))


def test_the_base_goes_through_the_checks_of_every_checkpoint(tmp_path):
    base = tiny_base(tmp_path / "base.pt", ffn_dim=36)
    with pytest.raises(CheckpointError, match="the base checkpoint .*base.pt does not fit the model; of another size"):
        model_over(base)


def test_the_base_is_taken_and_frozen_and_what_it_lacks_is_trained(tmp_path):
    base = tiny_base(tmp_path / "base.pt")
    model, tensors = model_over(base, **LORA), tensors_of(base)
    assert {name.split(".")[0] for name in learning(model) if "lora_" not in name} == {"ctc_head"}
    assert sum("lora_" in name for name in learning(model)) == 2 * (2 * 6 + 2 * 10)  # two layers each
    for name, value in whole_state(model).items():
        if name not in learning(model) and not name.startswith("base."):
            assert torch.equal(value, tensors[name]), name
    assert model.base.new == ("ctc_head",)
    assert model.base.left == (
        "quantizer", "speech_decoder_postnet", "speech_decoder_prenet", "text_encoder_prenet", "unit_head",
    )  # fmt: skip


def test_named_nets_are_trained_too_and_what_they_share(tmp_path):
    model = model_over(tiny_base(tmp_path / "base.pt"), train_nets="text_decoder_prenet")
    tables = {name for name in TIED_EMBEDDINGS[1:]}  # the post-net's is the same table
    assert {name for name in learning(model) if not name.startswith("ctc_head.")} == tables
    assert tables <= set(model.state_dict())


def test_nets_to_train_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--train-nets decodr: no such net in this job; choose from ctc_head, decoder"):
        model_over(tiny_base(tmp_path / "base.pt"), train_nets="ctc_head,decodr")


def test_a_frozen_extractor_stays_the_base_s_in_a_net_that_is_trained(tmp_path):
    model = model_over(tiny_base(tmp_path / "base.pt"), train_nets="speech_encoder_prenet", feature_grad_mult=0.0)
    prenet = {name for name in model.state_dict() if name.startswith("speech_encoder_prenet.")}
    assert prenet and not any(".extractor." in name for name in prenet)
    assert prenet <= learning(model)


def test_another_reduction_factor_is_new_and_trained(tmp_path):
    model = model_over(tiny_base(tmp_path / "base.pt"), "t2s", reduction_factor=3, **LORA)
    names = {name for name in learning(model) if "lora_" not in name}
    ends = ("feat_out.weight", "feat_out.bias", "prob_out.weight", "prob_out.bias")
    assert names == {f"speech_decoder_postnet.{end}" for end in ends}


@pytest.mark.parametrize("there, new", [("mel", True), ("mask", False)])
def test_a_layer_that_predicted_something_else_is_new_and_trained(tmp_path, there, new):
    """The base's log-mel frames are no logits of a mask: taken and frozen, they could never become any."""
    base = tiny_base(tmp_path / "base.pt", "s2s", reduction_factor=1)
    torch.save({"model": tensors_of(base), "cfg": {"model": {"speech_prediction": there}}}, base)
    model = model_over(base, "s2s", reduction_factor=1, speech_prediction="mask", **LORA)
    names = {name for name in learning(model) if "lora_" not in name}
    assert names == ({f"speech_decoder_postnet.feat_out.{end}" for end in ("weight", "bias")} if new else set())
    again = model_over(base, "s2s", reduction_factor=1, speech_prediction="mask", seed=3, **LORA)
    again.load_state_dict(model.state_dict())
    ours, theirs = whole_state(model), whole_state(again)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_frozen_updates_keep_additions_back_too(tmp_path):
    model = model_over(tiny_base(tmp_path / "base.pt"), freeze_encoder_updates=3, **LORA)
    everything = learning(model)
    model.set_num_updates(0)
    assert learning(model) == {name for name in everything if not name.startswith("encoder.")}
    model.set_num_updates(3)
    assert learning(model) == everything


def test_gradients_reach_every_addition_and_nothing_frozen(tmp_path):
    options = {"adapter_dim": 4, "mask_prob": 0.5, **LORA}
    model = model_over(tiny_base(tmp_path / "base.pt"), **options).train()
    output = model(**speech_source(6400, 4000), prev_output_tokens=text_tokens(5, 4, start=2))
    (output.text_logits.square().sum() + output.ctc_logits.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("target", ["q", "k", "v", "out", "fc1", "fc2"])
def test_one_target_alone_learns_by_the_numbers(tmp_path, target):
    """The first layer's inputs need no gradient then: whatever path attention takes, the gradient is the slope."""
    base = tiny_base(tmp_path / "base.pt")
    model = model_over(base, lora_rank=1, lora_targets=target, adapter_parts="encoder", mask_prob=0.0).double().train()
    inputs = {**speech_source(4000), "prev_output_tokens": text_tokens(4, start=2)}
    inputs["waveform"] = inputs["waveform"].double()

    def loss():
        return model(**inputs).text_logits.square().sum()

    factor = next(p for name, p in model.encoder.layers[0].named_parameters() if name.endswith("lora_b"))
    (grad,) = torch.autograd.grad(loss(), [factor])
    direction, step = torch.randn_like(factor), 1e-5
    with torch.no_grad():
        factor.add_(step * direction)
        above = loss()
        factor.sub_(2 * step * direction)
        slope = (above - loss()) / (2 * step)
    torch.testing.assert_close((grad * direction).sum(), slope, rtol=1e-5, atol=1e-7)
    assert slope.abs() > 1e-6


def test_models_over_one_base_hold_it_once_and_give_what_they_give_alone(tmp_path):
    base, bases = tiny_base(tmp_path / "base.pt"), Bases()
    first = model_over(base, "s2t", bases=bases, seed=1, **LORA)
    second = model_over(base, "s2t", bases=bases, seed=2, lora_rank=3)
    voice = model_over(base, "t2s", bases=bases, seed=3, adapter_dim=4)
    alone = [
        model_over(base, "s2t", seed=1, **LORA),
        model_over(base, "s2t", seed=2, lora_rank=3),
        model_over(base, "t2s", seed=3, adapter_dim=4),
    ]
    assert torch.equal(logits(first), logits(alone[0]))
    assert torch.equal(logits(second), logits(alone[1]))
    assert torch.equal(frames(voice), frames(alone[2]))
    assert not torch.allclose(logits(first), logits(second), atol=1e-3)

    def memory(*models):
        return {p.data_ptr(): p.numel() for model in models for p in model.parameters()}

    trained = sum(p.numel() for model in (first, second, voice) for p in model.parameters() if p.requires_grad)
    voice_nets = (voice.speech_decoder_prenet, voice.speech_decoder_postnet, voice.text_encoder_prenet.positions)
    s2t_base = sum(p.numel() for p in first.parameters() if not p.requires_grad)
    t2s_own = sum(p.numel() for net in voice_nets for p in net.parameters())
    assert sum(memory(first, second, voice).values()) == trained + s2t_base + t2s_own
    assert first.text_decoder_prenet.embedding.weight is voice.text_encoder_prenet.embedding.weight


def test_what_is_moved_is_moved_for_all(tmp_path):
    base, bases = tiny_base(tmp_path / "base.pt"), Bases()
    models = [model_over(base, bases=bases, seed=seed, **LORA) for seed in (1, 2)]
    expected = [logits(model) for model in models]
    for model in models:
        model.to(torch.float64)
    weights = [model.encoder.layers[0].self_attn.q_proj.weight for model in models]
    assert weights[0] is weights[1] and weights[0].dtype == torch.float64
    for model, before in zip(models, expected, strict=True):
        inputs = speech_source(6400, 4000)
        inputs["waveform"] = inputs["waveform"].double()
        after = model(**inputs, prev_output_tokens=text_tokens(5, 4, start=2)).text_logits
        torch.testing.assert_close(after.float(), before, rtol=1e-4, atol=1e-4)


def test_nets_that_one_model_trains_are_its_own(tmp_path):
    base, bases = tiny_base(tmp_path / "base.pt"), Bases()
    trains = model_over(base, bases=bases, train_nets="decoder")
    leaves = model_over(base, bases=bases, **LORA)
    assert trains.encoder.layers[0].self_attn.q_proj.weight is leaves.encoder.layers[0].self_attn.q_proj.weight
    assert trains.decoder.layers[0].self_attn.q_proj.weight is not leaves.decoder.layers[0].self_attn.q_proj.weight
    stays = tensors_of(base)["decoder.layers.0.self_attn.q_proj.weight"]
    assert torch.equal(leaves.decoder.layers[0].self_attn.q_proj.weight, stays)
    assert not torch.equal(trains.decoder.layers[0].self_attn.q_proj.weight, stays)


def test_other_bases_are_not_mixed_up_and_memory_is_given_back(tmp_path):
    bases = Bases()
    first = model_over(tiny_base(tmp_path / "1.pt", seed=1), bases=bases)
    second = model_over(tiny_base(tmp_path / "2.pt", seed=2), bases=bases)
    assert first.encoder.layer_norm.weight is not second.encoder.layer_norm.weight
    same = model_over(tiny_base(tmp_path / "copy.pt", seed=1), bases=bases)
    assert same.encoder.layer_norm.weight is first.encoder.layer_norm.weight  # by content, not by path
    shared = bases.read(str(tmp_path / "2.pt")).shared
    assert len(shared) > 0
    del second
    gc.collect()
    assert len(shared) == 0


def test_a_model_without_a_base_has_all_it_had():
    model = tiny_model("s2t")
    assert model.base is None and model.state_dict().keys() == whole_state(model).keys()
    assert len(tiny_dictionary()) and learning(model) == {
        name for name, _ in model.named_parameters(remove_duplicate=False)
    }


@pytest.mark.parametrize("options", [LORA, {"adapter_dim": 4}, {"adapter_dim": 4, **LORA}])
def test_decoding_step_by_step_uses_what_was_added(tmp_path, options):
    model = model_over(tiny_base(tmp_path / "base.pt"), **options).eval()
    tokens = text_tokens(5, 5, start=2)
    with torch.no_grad():
        encoded = model.encode(**speech_source(6400, 4000))
        whole = model.decode_text(encoded.states, encoded.padding_mask, tokens).log_softmax(-1)
        state = model.start_decoding(encoded)
        steps = [model.next_token_log_probs(tokens[:, place], state) for place in range(5)]
    torch.testing.assert_close(torch.stack(steps, dim=1), whole, rtol=1e-4, atol=1e-4)


def test_a_base_of_nan_is_refused(tmp_path):
    path = tiny_base(tmp_path / "base.pt")
    state = torch.load(path)
    state["model"]["encoder.layers.0.feed_forward.fc1.weight"][0, 0] = float("inf")
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="base.pt holds NaN or infinity in encoder.layers.0.feed_forward.fc1.wei"):
        model_over(path)
