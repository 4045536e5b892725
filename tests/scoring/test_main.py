"""`python -m speecht5_fairseq.scoring` on tiny folders."""

import shlex
import subprocess
import sys

import numpy as np
import pytest

from speecht5_fairseq.data.audio import write_audio
from speecht5_fairseq.scoring.__main__ import build_parser, main, make_plan
from speecht5_fairseq.scoring.metrics import METRICS
from speecht5_fairseq.scoring.optional import REQUIREMENTS

COLUMNS = "id wav mel frames stop_step hit_limit focus_rate length_ratio seconds reference speaker text status source"
STUB = "import sys; print('good day' if 'g/' in sys.argv[1] else 'good morning')"
STUB_ASR = "command:" + shlex.join([sys.executable, "-c", STUB, "{wav}"])


@pytest.fixture
def generated(tmp_path):
    """results.tsv as our fairseq-generate writes it: three utterances, of which one was not generated."""
    folder, rows = tmp_path / "g", [COLUMNS.split()]
    for index in range(3):
        clean = 0.1 * np.random.default_rng(index).standard_normal(1600)
        noise = 0.1 * np.random.default_rng(10 + index).standard_normal(1600)
        write_audio(tmp_path / "r" / f"{index}.wav", clean)
        write_audio(tmp_path / "s" / f"{index}.wav", clean + noise)
        fields = dict.fromkeys(rows[0], "")
        fields.update(id=str(index), wav=f"wav/{index}.wav", text="Good morning.", status="ok")
        fields.update(reference=str(tmp_path / "r" / f"{index}.wav"), source=str(tmp_path / "s" / f"{index}.wav"))
        if index < 2:
            write_audio(folder / fields["wav"], clean + noise / 10)
        else:
            fields.update(wav="", status="no frames")
        rows.append(list(fields.values()))
    (folder / "results.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    return folder


def lines_of(folder, name="results.tsv"):
    return [line.split("\t") for line in (folder / name).read_text().splitlines()]


def test_a_generated_folder_before_beside_after(generated, capsys):
    options = ["--metrics", "SI-SDR", "asr", "--baseline", "source", "--asr", STUB_ASR, "--asr-references"]
    assert main([str(generated), *options]) == 1  # one was not generated
    printed = capsys.readouterr().out
    assert "si_sdr  dB    lower" not in printed and "generated - source  2" in printed
    assert "WER     %     lower   generated           2           50.000" in printed
    assert "WER     %     lower   reference           2           0.000" in printed
    assert "2: not generated: no frames" in printed and "1 of them could not be scored" in printed
    header, first, _, failed = lines_of(generated)
    assert header[:14] == COLUMNS.split() and header[14] == "si_sdr" and header[-1] == "score_problems"
    assert float(first[14]) == pytest.approx(20, abs=1) and first[-1] == ""
    assert set(failed[14:-1]) == {""} and failed[-1] == "not generated: no frames"


def test_a_second_run_replaces_its_columns_and_keeps_the_others(generated):
    main([str(generated), "--metrics", "si_sdr"])
    once = (generated / "results.tsv").read_text()
    main([str(generated), "--metrics", "si_sdr"])
    assert (generated / "results.tsv").read_text() == once
    main([str(generated), "--metrics", "mel_l1"])
    header = lines_of(generated)[0]
    assert header[14:] == ["si_sdr", "score_problems", "mel_l1"]
    assert not [path for path in generated.iterdir() if path.name.startswith(".")]


def test_plain_folders_with_texts(generated, tmp_path, capsys):
    texts = tmp_path / "texts.tsv"
    texts.write_text("0\tgood day\n1\tgood day\n")
    options = ["--references", str(tmp_path / "r"), "--texts", str(texts), "--metrics", "mel_l1_dtw", "asr"]
    assert main([str(generated / "wav"), *options, "--asr", STUB_ASR]) == 0
    assert "could not be scored" not in capsys.readouterr().out
    header, first, second = lines_of(generated / "wav", "scores.tsv")
    assert header[:5] == ["id", "wav", "mel_l1_dtw", "asr_text", "asr_reference"]
    assert first[3:5] == second[3:5] == ["good day", "good day"] and first[5:7] == ["0", "2"]


def test_the_table_has_the_text_that_was_compared_with_wherever_it_is_from(generated, tmp_path):
    (tmp_path / "texts.tsv").write_text("0\tGood day!\n")
    main([str(generated), "--metrics", "asr", "--asr", STUB_ASR, "--texts", str(tmp_path / "texts.tsv")])
    header, first, second, failed = lines_of(generated)
    found = [row[header.index("asr_reference")] for row in (first, second, failed)]
    assert found == ["good day", "good morning", ""] and first[header.index("text")] == "Good morning."


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--asr", "pocketsphinx"], "--asr has no effect without --metrics asr"),
        (["--asr-references"], "--asr-references has no effect"),
        (["--texts", "t"], "--texts has no effect"),
        (["--speaker-encoder", "a:b"], "--speaker-encoder has no effect without --metrics speaker"),
        (["--sources", "s"], "--sources has no effect without --baseline source"),
        (["--metrics", "speaker"], "give --speaker-encoder"),
        (["--jobs", "-1"], "--jobs -1"),
    ],
)
def test_options_without_effect_are_errors(options, problem):
    with pytest.raises(ValueError, match=problem):
        make_plan(build_parser().parse_args(["folder", *options]))


def test_help_lists_every_metric_and_which_need_aligned_pairs():
    text = build_parser().format_help()
    lines = {line.split()[0]: line for line in text.partition("metrics:\n")[2].splitlines() if line.startswith("  ")}
    assert set(lines) == set(METRICS)
    assert {name for name, line in lines.items() if "time-aligned" in line} == {
        "mel_l1", "stoi", "estoi", "pesq", "si_sdr"
    }  # fmt: skip


def test_mistakes_end_without_a_traceback_and_without_importing_optional_packages(tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "speecht5_fairseq.scoring", str(tmp_path / "no")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert f"error: GENERATED {tmp_path / 'no'}: no such folder; correct the path" in lines
    assert not [line for line in lines if line.startswith("Traceback")]
    imported = {line.split("|")[-1].strip() for line in lines if line.startswith("import time:")}
    assert "speecht5_fairseq.scoring.optional" in imported and not imported & set(REQUIREMENTS)
