"""Learning from little data: parts that are held or slowed, another dictionary, and a part of a checkpoint."""

import re
import shutil

import pytest
import torch
from commands import LEGACY, NOISE, differing, generation, hypotheses, load, logged, recognition, run, two_processes
from helpers import SYMBOLS, write_lines

NEW_SYMBOLS = ["Ä", *reversed(SYMBOLS.replace("'", "")), "Ö"]
HELD = "speech_encoder_prenet:forever encoder.layers.0:5"  # longer than the four updates of the pre-training
RATES = ["--optimizer", "speecht5_adam", "--layer-lr-decay", 0.5, "--lr-factors", "ctc_head:3"]


@pytest.fixture(scope="module")
def other(data, tmp_path_factory):
    """The recogniser's data with another dictionary."""
    folder = tmp_path_factory.mktemp("other") / "s2t"
    shutil.copytree(data.s2t, folder)
    write_lines(folder / "dict.txt", [f"{symbol} 1" for symbol in NEW_SYMBOLS])
    return data._replace(s2t=folder)


def options(pretrained, folder, updates):
    start = ["--finetune-from-model", pretrained / "checkpoint_last.pt", "--new-vocabulary", "--freeze", HELD]
    return [*NOISE, *start, *RATES, "--save-dir", folder, "--max-update", updates, "--no-epoch-checkpoints"]


@pytest.fixture(scope="module")
def tuned(other, pretrained, tmp_path_factory):
    """(folder of six straight updates, what the run printed)."""
    folder = tmp_path_factory.mktemp("tuned")
    return folder, run("fairseq-train", *recognition(other, *options(pretrained, folder, 6)))


def part(model, prefix):
    return {name: value for name, value in model.items() if name.startswith(prefix)}


def test_the_log_tells_what_is_kept_frozen_and_slowed(tuned):
    output = tuned[1]
    kept = len(SYMBOLS) - 1 + 6
    assert (
        f"--new-vocabulary: the rows of {kept} symbols are kept, 2 symbols are new (initial values): Ä, Ö, 1 are "
        "dropped: '"
    ) in output
    assert re.search(r"frozen until update 5: encoder\.layers\.0 \([\d,]+ weights\)", output)
    assert re.search(r"frozen forever: speech_encoder_prenet \([\d,]+ weights\)", output)
    assert re.search(r"lr x 3 +[\d,]+ weights  ctc_head", output)
    assert re.search(r"lr x 0\.125 +[\d,]+ weights  encoder\.relative_positions, .*encoder\.layers\.0", output)
    assert output.count("weights  ctc_head") == 1
    assert "loaded from the checkpoint: speech_encoder_prenet, encoder, text_decoder_prenet, decoder, text_d" in output


def test_what_is_frozen_forever_reaches_no_optimizer(tuned, pretrained):
    start, end = load(pretrained / "checkpoint_last.pt")["model"], load(tuned[0] / "checkpoint_last.pt")
    held = part(end["model"], "speech_encoder_prenet.")
    assert all(torch.equal(value, start[name]) for name, value in held.items())
    groups = end["last_optimizer_state"]["param_groups"]
    assert "encoder.layers.0" in {group["part"] for group in groups}
    assert not any(group["part"].startswith("speech_encoder_prenet") for group in groups)


def test_a_run_that_stops_while_parts_are_frozen_resumes_bit_for_bit(other, pretrained, tuned, tmp_path):
    """The second start finds its own checkpoint: the dictionary is that of the run, and the layer thaws as it would."""
    run("fairseq-train", *recognition(other, *options(pretrained, tmp_path, 5)))
    start, halfway = (load(folder / "checkpoint_last.pt")["model"] for folder in (pretrained, tmp_path))
    layer = part(halfway, "encoder.layers.0.")
    assert layer and all(torch.equal(value, start[name]) for name, value in layer.items())
    output = run("fairseq-train", *recognition(other, *options(pretrained, tmp_path, 6)))
    assert "--new-vocabulary" not in output.replace("'--new-vocabulary'", "") and "@ 5 updates" in output
    straight, resumed = load(tuned[0] / "checkpoint_last.pt"), load(tmp_path / "checkpoint_last.pt")
    assert not differing(straight["model"], resumed["model"])
    assert any(not torch.equal(resumed["model"][name], value) for name, value in layer.items())
    rates = [[group["lr"] for group in end["last_optimizer_state"]["param_groups"]] for end in (straight, resumed)]
    assert rates[0] == rates[1] and len(set(rates[0])) > 4


def test_it_decodes_with_the_new_dictionary(other, tuned):
    asked = ["--beam", 3, "--max-len-b", 8, "--ctc-decoding-weight", 0.4, "--new-vocabulary"]
    output = run("fairseq-generate", *generation(other, tuned[0] / "checkpoint_last.pt", *asked))
    found = hypotheses(output)
    assert set(found) == {0, 1, 2}
    assert {piece for _, text in found.values() for piece in text.split()} <= set(NEW_SYMBOLS)
    assert "no effect: --new-vocabulary True; they are for fairseq-train --finetune-from-model" in output


def test_a_part_of_a_checkpoint(data, pretrained, tmp_path):
    """No update, to see what the model starts from."""
    start = ["--finetune-from-model", pretrained / "checkpoint_last.pt", "--finetune-nets", "speech_encoder_prenet"]
    asked = ["--save-dir", tmp_path, "--max-update", 1, "--freeze", "speech_encoder_prenet:forever"]
    output = run("fairseq-train", *recognition(data, *start, *asked))
    assert "loaded from the checkpoint: speech_encoder_prenet\n" in output
    assert "new, not from the checkpoint (initial values): encoder, text_decoder_prenet, decoder" in output
    begin, end = load(pretrained / "checkpoint_last.pt")["model"], load(tmp_path / "checkpoint_last.pt")["model"]
    taken = part(end, "speech_encoder_prenet.")
    assert taken and all(torch.equal(value, begin[name]) for name, value in taken.items())
    assert not torch.equal(
        end["encoder.layers.0.feed_forward.fc1.weight"], begin["encoder.layers.0.feed_forward.fc1.weight"]
    )


def test_rates_need_their_optimizer(data, tmp_path):
    given = ["--layer-lr-decay", 0.9, "--save-dir", tmp_path]
    output = run("fairseq-train", *recognition(data, *given), fails=True)
    expected = "have no effect with this optimizer; give --optimizer speecht5_adam or speecht5_fused_adam"
    # torch's threads may print a line of their own when the process ends
    assert any(line.endswith(expected) for line in output.splitlines()[-2:])


def test_two_processes_slow_parts_as_one(data, tmp_path):
    common = [*RATES, "--freeze", "encoder.layers.0:1 speech_encoder_prenet.extractor:forever"]
    common += ["--max-update", 2, "--batch-size", 1]
    run("fairseq-train", *recognition(data, *common, "--save-dir", tmp_path / "one", "--update-freq", 2))
    two_processes(*recognition(data, *common, *LEGACY, "--save-dir", tmp_path / "two"))
    one, two = (load(tmp_path / folder / "checkpoint_last.pt") for folder in ("one", "two"))
    assert float(logged(one)["loss"]) == pytest.approx(float(logged(two)["loss"]), rel=1e-5)
    for name, tensor in one["model"].items():
        torch.testing.assert_close(two["model"][name], tensor, rtol=1e-4, atol=1e-5, msg=name)
