"""The published pre-training and fine-tuning lines run, shortened and with a tiny model; their checkpoints decode."""

import shutil

import pytest
from commands import USER_DIR, hypotheses, run
from helpers import SYMBOLS, tiny_config, tiny_manifest, write_lines
from published_lines import training_line

from speecht5_fairseq.models.released_options import EXTRACTOR_LAYERS, PAIRS, RENAMED

SHORT = ["--distributed-world-size", 1, "--cpu", "--max-update", 2, "--update-freq", 1, "--max-tokens", 40_000]
SHORT += ["--num-workers", 0, "--validate-after-updates", 0, "--validate-interval", 1]
SIZES = [
    "encoder_embed_dim", "encoder_ffn_embed_dim", "encoder_attention_heads", "encoder_layers", "decoder_layers",
    "encoder_max_relative_position", "conv_pos", "conv_pos_groups", "final_dim", "latent_vars",
]  # fmt: skip


def sizes() -> list[object]:
    """Flags that make the published model tiny."""
    config = tiny_config()
    values = {name: getattr(config, RENAMED[name].ours) for name in SIZES}
    values |= {one: values[other] for one, other in PAIRS.items() if other in values}
    values |= {"conv_feature_layers": EXTRACTOR_LAYERS.format(config.conv_channels)}
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


def train(job: str, folder, save_dir, *more: object, fails: bool = False) -> str:
    line = [folder, "--save-dir", save_dir, "--user-dir", USER_DIR, *training_line(job), *SHORT, *sizes(), *more]
    return run("fairseq-train", *line, fails=fails)


@pytest.fixture(scope="module")
def pretrained(data, tmp_path_factory):
    """A checkpoint of the published pre-training line: manifests, text and its dictionary in DATA, units elsewhere."""
    folder, labels = tmp_path_factory.mktemp("published"), tmp_path_factory.mktemp("labels")
    for split, seconds in (("train", 2.5), ("valid", 2.2)):
        tiny_manifest(folder, 4, job="pretrain", split=f"speech_{split}", samples=[round(16_000 * seconds)] * 4)
        shutil.move(folder / f"speech_{split}.km", labels)
        for end in ("bin", "idx"):
            shutil.copy(data.text / f"{split}.{end}", folder / f"text_{split}.{end}")
    shutil.move(folder / "dict.km.txt", labels)
    write_lines(folder / "dict.txt", [f"{symbol} 1" for symbol in SYMBOLS])
    output = train("pretrain", folder, folder / "run", "--hubert-label-dir", labels)
    assert '"speech_valid|text_valid_unit_loss"' in output
    return folder / "run" / "checkpoint_last.pt"


def test_recognition_from_pre_training_and_its_decoding(data, pretrained, tmp_path):
    labels = tmp_path / "labels"
    labels.mkdir()
    for split in ("train", "valid", "test"):  # the published code has the labels elsewhere, dict.txt in DATA
        shutil.copy(data.s2t / f"{split}.txt", labels)
    options = ["--hubert-label-dir", labels, "--finetune-from-model", pretrained]
    output = train("s2t", data.s2t, tmp_path / "run", *options)
    assert '"valid_best_s2t_accuracy"' in output or '"valid_s2t_accuracy"' in output
    task = ["--user-dir", USER_DIR, "--task", "speecht5", "--t5-task", "s2t", "--hubert-label-dir", labels]
    task += ["--sample-rate", 16000, "--ctc-weight", 0.5, "--beam", 2, "--max-len-a", 0, "--max-len-b", 8]
    path = ["--path", tmp_path / "run" / "checkpoint_best.pt", "--gen-subset", "test", "--max-tokens", 100_000]
    decoded = run("fairseq-generate", data.s2t, *task, *path, "--scoring", "wer", "--cpu")
    assert len(hypotheses(decoded)) == 3 and "WER: " in decoded


def test_translation_with_a_dictionary_of_its_own(data, pretrained, tmp_path):
    """As the published recipe has it: a new table, here by name; or the rows of the symbols that both have."""
    labels = tmp_path / "labels"
    labels.mkdir()
    for split in ("train", "valid"):
        shutil.copy(data.s2t / f"{split}.txt", labels)
    write_lines(labels / "dict.txt", [f"{symbol} 1" for symbol in [*SYMBOLS, "neu"]])
    options = ["--hubert-label-dir", labels, "--finetune-from-model", pretrained]
    output = train("st", data.s2t, tmp_path / "refused", *options, fails=True)
    assert "the dictionary does not fit" in output and "add --new-vocabulary" in output
    nets = "ctc_head,text_decoder_prenet,text_decoder_postnet"
    output = train("st", data.s2t, tmp_path / "new", *options, "--new-nets", nets)
    new = "new, not from the checkpoint (initial values): text_decoder_prenet, text_decoder_postnet, ctc_head"
    assert new in output
    output = train("st", data.s2t, tmp_path / "kept", *options, "--new-vocabulary")
    assert "--new-vocabulary: the rows of" in output and "1 symbols are new (initial values): neu" in output


@pytest.mark.parametrize("job", ["t2s", "s2s", "s2c"])
def test_the_other_jobs_from_pre_training(pretrained, tmp_path, job):
    data = tmp_path / "data"
    data.mkdir()
    for number, split in enumerate(("train", "valid")):
        tiny_manifest(data, 4, job=job, split=split, seed=number, samples=[6000] * 4)
    output = train(job, data, tmp_path / "run", "--finetune-from-model", pretrained)
    assert (tmp_path / "run" / "checkpoint_last.pt").is_file()
    new = {"s2c": "speaker_head, classes"}.get(job, "nothing")
    assert f"new, not from the checkpoint (initial values): {new}\n" in output
