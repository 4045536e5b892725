"""Low-rank updates and adapters through fairseq's commands: train, resume, decode, merge, several beside one base."""

import shutil
from pathlib import Path

import pytest
import torch
from commands import (
    LEGACY,
    NOISE,
    USER_DIR,
    Data,
    differing,
    generation,
    hypotheses,
    load,
    pretraining,
    recognition,
    run,
    two_processes,
)

from speecht5_fairseq.models.adapters import load_adapted

LORA = ["--lora-rank", 2, "--lora-targets", "q,v,fc2", "--lora-dropout", 0.1]
DECODING = ["--beam", 2, "--max-len-b", 10, "--ctc-decoding-weight", 0.3]


def base_of(pretrained: Path) -> list[object]:
    return ["--base-checkpoint", pretrained / "checkpoint_last.pt"]


@pytest.fixture(scope="module")
def adapted(data: Data, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of four updates with LoRA and a new CTC head over `pretrained`, one after each; and the log."""
    folder = tmp_path_factory.mktemp("adapted")
    options = [*NOISE, *LORA, *base_of(pretrained), "--save-dir", folder, "--save-interval-updates", 1]
    (folder / "log").write_text(run("fairseq-train", *recognition(data, *options)))
    return folder


def decode(data: Data, checkpoint: Path, *options: object) -> dict[int, tuple[float, str]]:
    found = hypotheses(run("fairseq-generate", *generation(data, checkpoint, *DECODING, *options)))
    assert len(found) == 3
    return found


def test_only_additions_and_new_nets_are_trained_and_saved(pretrained, adapted):
    state = load(adapted / "checkpoint_last.pt")
    names = {name for name in state["model"] if ".lora_" not in name}
    head = {"ctc_head.projection.weight", "ctc_head.projection.bias"}
    assert names == head | {"base.digest", "vocabulary.symbols"}
    trained = [name for name in state["model"] if ".lora_" in name or name in head]
    assert len(state["last_optimizer_state"]["state"]) == len(trained)
    start = load(adapted / "checkpoint_1_1.pt")["model"]
    assert set(differing(start, state["model"])) == set(trained)
    size, whole = ((folder / "checkpoint_last.pt").stat().st_size for folder in (adapted, pretrained))
    assert size < whole / 2
    text = (adapted / "log").read_text()
    weights = sum(state["model"][name].numel() for name in trained)
    assert f"trained: {weights:,} of " in text and "encoder " in text and "ctc_head " in text
    assert f"base: {pretrained / 'checkpoint_last.pt'} (digest " in text
    assert "new, not in the base (initial values): ctc_head" in text
    assert "left in the base, not used by this job: quantizer, speech_decoder_postnet" in text


def test_a_stopped_run_goes_on_bit_for_bit(data, pretrained, adapted, tmp_path):
    shutil.copy(adapted / "checkpoint_1_2.pt", tmp_path / "checkpoint_last.pt")
    run("fairseq-train", *recognition(data, *NOISE, *LORA, *base_of(pretrained), "--save-dir", tmp_path))
    straight, resumed = load(adapted / "checkpoint_last.pt"), load(tmp_path / "checkpoint_last.pt")
    assert not differing(straight["model"], resumed["model"])
    for ours, theirs in zip(
        *(end["last_optimizer_state"]["state"].values() for end in (straight, resumed)), strict=True
    ):
        assert all(torch.equal(torch.as_tensor(ours[key]), torch.as_tensor(theirs[key])) for key in ours)


def test_a_new_run_can_start_from_an_adapter(data, pretrained, adapted, tmp_path):
    start = ["--finetune-from-model", adapted / "checkpoint_last.pt", "--max-update", 1, "--lr", 0.0]
    run("fairseq-train", *recognition(data, *LORA, *base_of(pretrained), *start, "--save-dir", tmp_path))
    assert not differing(load(adapted / "checkpoint_last.pt")["model"], load(tmp_path / "checkpoint_last.pt")["model"])


def test_two_processes_train_as_one(data, pretrained, tmp_path):
    common = [*base_of(pretrained), "--lora-rank", 2, "--max-update", 2, "--batch-size", 1]
    run("fairseq-train", *recognition(data, *common, "--save-dir", tmp_path / "one", "--update-freq", 2))
    two_processes(*recognition(data, *common, *LEGACY, "--save-dir", tmp_path / "two"))
    one, two = (load(tmp_path / folder / "checkpoint_last.pt")["model"] for folder in ("one", "two"))
    assert one.keys() == two.keys() and "encoder.layer_norm.weight" not in one
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def test_mixed_precision_saves_the_same(data, pretrained, adapted, tmp_path):
    options = [*LORA, *base_of(pretrained), "--max-update", 1, "--disable-validation", "--amp"]
    run("fairseq-train", *recognition(data, *options, "--save-dir", tmp_path))
    state = load(tmp_path / "checkpoint_last.pt")["model"]
    assert state.keys() == load(adapted / "checkpoint_last.pt")["model"].keys()
    assert state["decoder.layers.1.feed_forward.fc2.lora_b"].any()


def test_generation_takes_the_adapter_and_finds_its_base(data, pretrained, adapted, tmp_path):
    expected = decode(data, adapted / "checkpoint_last.pt")
    assert expected != decode(data, adapted / "checkpoint_1_1.pt")
    moved = tmp_path / "checkpoints"
    moved.mkdir()
    override = ["--model-overrides", "{'base_checkpoint': 'checkpoint_last_base.pt'}"]
    shutil.copy(adapted / "checkpoint_last.pt", moved / "adapter.pt")
    output = run("fairseq-generate", *generation(data, moved / "adapter.pt", *override), fails=True)
    assert f"no such file (looked for checkpoint_last_base.pt, {moved / 'checkpoint_last_base.pt'})" in output
    shutil.copy(pretrained / "checkpoint_1_2.pt", moved / "checkpoint_last_base.pt")
    output = run("fairseq-generate", *generation(data, moved / "adapter.pt", *override), fails=True)
    assert "was trained on a base with the digest" in output and "checkpoint_last_base.pt (digest" in output
    shutil.copy(pretrained / "checkpoint_last.pt", moved / "checkpoint_last_base.pt")
    assert decode(data, moved / "adapter.pt", *override) == expected


def merge(*arguments: object, fails: bool = False) -> str:
    return run("python", "-m", "speecht5_fairseq.convert.merge", *arguments, fails=fails)


def test_a_merged_checkpoint_is_an_ordinary_one(data, adapted, tmp_path):
    merged = tmp_path / "merged.pt"
    assert f"wrote {merged}" in merge(adapted / "checkpoint_last.pt", "--out", merged)
    state = load(merged)
    assert not any("lora_" in name or name.startswith("base.") for name in state["model"])
    expected, found = decode(data, adapted / "checkpoint_last.pt"), decode(data, merged)
    assert {row: text for row, (_, text) in found.items()} == {row: text for row, (_, text) in expected.items()}
    for row, (score, _) in found.items():
        assert score == pytest.approx(expected[row][0], abs=1e-4)
    start = ["--finetune-from-model", merged, "--max-update", 1, "--lr", 0.0, "--disable-validation"]
    run("fairseq-train", *recognition(data, *start, "--save-dir", tmp_path))
    assert not differing(state["model"], load(tmp_path / "checkpoint_last.pt")["model"])


def test_bottlenecks_train_and_decode_but_do_not_merge(data, pretrained, tmp_path):
    options = ["--adapter-dim", 4, "--train-nets", "text_decoder_postnet", *base_of(pretrained)]
    run("fairseq-train", *recognition(data, *options, "--save-dir", tmp_path))
    checkpoint = tmp_path / "checkpoint_last.pt"
    assert "text_decoder_prenet.embedding.weight" in load(checkpoint)["model"]
    decode(data, checkpoint)
    output = merge(checkpoint, "--out", tmp_path / "merged.pt", fails=True)
    assert "--adapter-dim 4; bottleneck adapters are no linear maps" in output and "Traceback" not in output
    assert not (tmp_path / "merged.pt").exists()


def test_what_needs_no_merging_is_said(pretrained, tmp_path):
    output = merge(pretrained / "checkpoint_last.pt", "--out", tmp_path / "merged.pt", fails=True)
    assert "was not trained over a --base-checkpoint, so it is whole already" in output


def test_adapters_of_two_jobs_stand_beside_one_base(data, pretrained, adapted, tmp_path):
    options = [
        "--lora-rank",
        3,
        *base_of(pretrained),
        "--save-dir",
        tmp_path,
        "--max-update",
        1,
        "--disable-validation",
    ]
    run("fairseq-train", *pretraining(data, *options))
    paths = [adapted / "checkpoint_last.pt", tmp_path / "checkpoint_last.pt", pretrained / "checkpoint_last.pt"]
    recognizer, joint, whole = (loaded.model for loaded in load_adapted(paths))
    name = "encoder.layers.0.self_attn.q_proj.weight"
    weights = [model.get_parameter(name) for model in (recognizer, joint, whole)]
    assert weights[0] is weights[1] and weights[0].data_ptr() != weights[2].data_ptr()
    assert torch.equal(weights[0], weights[2])
    ((alone, task, _),) = load_adapted(paths[:1])
    assert len(task.text_dictionary) == len(recognizer.text_decoder_prenet.embedding.weight)
    with torch.no_grad():
        states = [
            model.eval().encode(waveform=torch.ones(1, 4000), sample_lengths=torch.tensor([4000])).states
            for model in (recognizer, alone, joint)
        ]
    assert torch.equal(states[0], states[1]) and not torch.allclose(states[0], states[2], atol=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--lora-rank", 2], "--lora-rank 2: additions are trained over a checkpoint that stays as it is"),
        (["--base-checkpoint", "gone.pt", "--lora-rank", 2], "--base-checkpoint gone.pt: no such file"),
    ],
)
def test_additions_need_a_base(data, tmp_path, options, message):
    assert message in run("fairseq-train", *recognition(data, *options, "--save-dir", tmp_path), fails=True)


def test_a_whole_start_beside_a_base_is_refused_before_the_first_update(data, pretrained, tmp_path):
    options = [*LORA, *base_of(pretrained), "--finetune-from-model", pretrained / "checkpoint_last.pt"]
    output = run("fairseq-train", *recognition(data, *options, "--save-dir", tmp_path), fails=True)
    assert "give it as --base-checkpoint instead" in output and str(USER_DIR.parent) in output
