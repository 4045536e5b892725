"""The experiment with little data: its table of runs, its runner, its report, and all of it with tiny trainings."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from commands import SIZES as MODEL_SIZES
from fairseq import options
from helpers import SYMBOLS, random_sentences, tiny_manifest, tiny_text_binary, write_lines

from manifest_tools.vocabulary import train_vocabulary

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "little_data"
MODULES = ("grid", "runner", "results", "plots", "experiment")


@pytest.fixture(autouse=True)
def example(monkeypatch):
    """The example's modules can be imported, and are forgotten afterwards."""
    monkeypatch.syspath_prepend(FOLDER)
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def data(tmp_path):
    """What examples/demo/prepare.sh makes, tiny: all/, text/, en/ and vocabulary/."""
    folder = tmp_path / "data"
    for number, (split, rows) in enumerate((("train", 8), ("valid", 2), ("test", 2))):
        tiny_manifest(folder / "en", rows, split=split, seed=number)
        pieces = (folder / "en" / f"{split}.txt").read_text().splitlines()
        write_lines(
            folder / "en" / f"{split}.txt", [line.replace(" ", "").replace("▁", " ").strip() for line in pieces]
        )
        if split != "test":
            tiny_manifest(folder / "all", rows, job="pretrain", split=split, seed=number)
            tiny_text_binary(folder / "text", random_sentences(12, seed=number), split=split)
    letters = write_lines(tmp_path / "letters.txt", [SYMBOLS[1:]])
    (folder / "en" / "dict.txt").unlink()
    train_vocabulary([letters], folder / "vocabulary", label_dirs=[folder / "en"])
    shutil.copy(folder / "vocabulary" / "dict.txt", folder / "text")
    return folder


@pytest.fixture
def tiny_size(example, monkeypatch):
    """--size tiny: models and trainings of a moment."""
    import grid

    size = grid.Size((1,), 2, {0.02: 2, 0.05: 2}, ("--arch", "speecht5_small", *MODEL_SIZES))
    monkeypatch.setitem(grid.SIZES, "tiny", size)
    return size


def whole_grid(size, device=("--cpu",)):
    import grid

    chosen = grid.SIZES[size]
    place = grid.Place(Path("data"), Path("work"), device)
    names = {"starts": list(grid.STARTS), "methods": list(grid.METHODS)}
    return grid.grid(place, chosen, minutes=list(chosen.updates), seeds=chosen.seeds, **names)


@pytest.mark.parametrize(("size", "seeds"), [("short", 1), ("long", 3)])
def test_the_grid_compares_methods_from_one_start_and_starts_with_one_method(size, seeds):
    runs = whole_grid(size)
    assert len({run.name for run in runs}) == len(runs) == seeds * (3 + 7 * 3)
    by_name = {run.name: run for run in runs}
    for place, run in enumerate(runs):
        assert run.needs is None or runs.index(by_name[run.needs]) < place
    for method in ("full", "frozen", "adapters", "lora"):
        same = [run for run in runs if (run.start, run.method, run.seed) == ("joint", method, 1)]
        assert [run.minutes for run in same] == [15, 5, 1]
        rates = [run.steps[0][1][run.steps[0][1].index("--lr") + 1] for run in same]
        assert len(set(rates)) == 1
    full = {run.start: run.steps[0][1] for run in runs if (run.method, run.minutes, run.seed) == ("full", 15, 1)}
    assert full.keys() == {"joint", "speech", "no-quantizer", "none"} and "--finetune-from-model" not in full["none"]
    assert [start for start, command in full.items() if "--new-nets" in command] == ["speech"]  # no text nets there
    pretrained = {run.start: run.steps[0][1] for run in runs if run.method == "pretrain" and run.seed == 1}
    assert ["--text-data" in pretrained[start] for start in ("joint", "speech", "no-quantizer")] == [True, False, True]
    assert ["--codebook-prob" in pretrained[start] for start in ("joint", "speech", "no-quantizer")] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("device", [("--cpu",), ("--bf16", "--fp16-no-flatten-grads"), ()])
def test_fairseq_knows_every_option(device):
    for size in ("short", "long"):
        for run in whole_grid(size, device):
            for _, (program, *arguments) in run.steps:
                training = program == "fairseq-train"
                parser = options.get_training_parser() if training else options.get_generation_parser()
                parsed = options.parse_args_and_arch(parser, input_args=arguments)
                assert parsed.cpu == ("--cpu" in device) and parsed.data in ("data/all", "data/en")
                assert not training or parsed.bf16 == ("--bf16" in device)


def python_run(name, *programs, needs=None, inputs=()):
    """A run of Python programs instead of trainings."""
    import grid

    steps = tuple((f"step{number}", ("python", "-c", program)) for number, program in enumerate(programs))
    return grid.Run(name, "joint", "full", 1, 1, steps, inputs, needs)


def test_the_runner_runs_once_reports_failures_and_goes_on(tmp_path, capsys):
    from runner import Runner, seconds_of

    read = write_lines(tmp_path / "input", ["content"])
    runs = [
        python_run("first", f"print(open({str(read)!r}).read())", "print('second step')", inputs=(read,)),
        python_run("bad", "print('what went wrong'); raise SystemExit(3)", "print('never')"),
        python_run("after", "print('after first')", needs="first"),
        python_run("stranded", "print('never')", needs="bad"),
    ]
    runner = Runner(tmp_path / "runs", jobs=2)
    runner.run(runs)
    assert runner.done == {"first", "after"} and set(runner.failed) == {"bad", "stranded"}
    assert "step0 ended with 3" in runner.failed["bad"] and "what went wrong" in runner.failed["bad"]
    assert runner.failed["stranded"] == "bad failed, which it starts from"
    assert (tmp_path / "runs/first/step0.log").read_text().strip() == "content"
    assert set(seconds_of(tmp_path / "runs/first")) == {"step0", "step1"}
    assert not (tmp_path / "runs/bad/step1.log").exists() and not (tmp_path / "runs/stranded").exists()
    captured = capsys.readouterr()
    assert "[fail ] bad: step0 ended with 3" in captured.err and "[ok   ] after" in captured.out

    again = Runner(tmp_path / "runs", jobs=1)
    again.run([runs[0], runs[2]])
    assert again.done == {"first", "after"} and "[start]" not in capsys.readouterr().out
    write_lines(read, ["other content"])
    Runner(tmp_path / "runs", jobs=1).run([runs[0], runs[2]])
    assert re.findall(r"\[start\] (\w+)", capsys.readouterr().out) == ["first", "after"]
    assert (tmp_path / "runs/first/step0.log").read_text().strip() == "other content"
    changed = runs[2]._replace(steps=(("step0", ("python", "-c", "print('other settings')")),))
    Runner(tmp_path / "runs", jobs=1).run([runs[0], changed])
    assert re.findall(r"\[start\] (\w+)", capsys.readouterr().out) == ["after"]


def test_each_run_has_one_thread_and_a_gpu_of_its_own(tmp_path):
    from runner import Runner

    show = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS']); time.sleep(0.5)"
    runs = [python_run(name, show) for name in ("a", "b", "c")]
    Runner(tmp_path / "two", jobs=2, gpus=["4", "6"]).run(runs)
    seen = [(tmp_path / "two" / run.name / "step0.log").read_text().split() for run in runs]
    assert seen[:2] == [["4", "1"], ["6", "1"]] and seen[2][0] in ("4", "6")
    Runner(tmp_path / "cpu", jobs=1).run(runs[:1])
    assert (tmp_path / "cpu/a/step0.log").read_text().split() == ["1"]  # no GPU: the variable is empty


def made_up(start, method, minutes, seed, wer, cer, curve=((10, 50.0), (20, 30.0))):
    import grid
    import results

    run = grid.Run(f"{start}-{method}-{minutes:g}-{seed}", start, method, minutes, seed, (), ())
    return results.Result(run, wer, cer, 1234, 5.5, 60.0, curve)


def test_the_table_has_means_and_spreads(tmp_path):
    from results import mean_and_spread, read_curve, table

    assert mean_and_spread([]) == "-" and mean_and_spread([10.04]) == "10.0"
    assert mean_and_spread([10, 12, 14]) == "12.0 ± 2.0"
    found = [made_up("joint", "full", 1, seed, 90 + seed, 50 + seed) for seed in (1, 2, 3)]
    found += [made_up("joint", "lora", 5, 1, 80, 40), made_up("none", "full", 1, 1, 99, 77)]
    text = table(found)
    assert "mean ± standard deviation of 3 seeds" in text
    assert "| full fine-tuning | 1,234 | 5.5 | 52.0 ± 1.0 / 92.0 ± 1.0 | - / - |" in text
    assert "| LoRA, rank 8 | 1,234 | 5.5 | - / - | 40.0 / 80.0 |" in text
    assert "| no pre-training | 77.0 / 99.0 | - / - |" in text and "adapters" not in text
    assert "seeds" not in table(found[:1])
    assert made_up("joint", "full", 1, 1, 0, 0, ((1, 5.0), (2, 3.0), (3, 3.0), (4, 4.0))).best_update == 3
    log = 'INFO | train | {}\n2026 | INFO | valid | {"valid_uer": "42.5", "valid_num_updates": "7"}\n'
    (tmp_path / "log").write_text(log)
    assert read_curve(tmp_path / "log") == ((7, 42.5),)


def test_the_pictures_draw_every_run(tmp_path):
    import plots
    from matplotlib import pyplot

    found = [made_up("joint", "full", minutes, seed, 90, 50 / minutes) for minutes in (1, 5) for seed in (1, 2)]
    found += [made_up("none", "full", 1, 1, 99, 77)]
    for draw in (plots.plot_rates, plots.plot_curves):
        draw(found, tmp_path / "picture.png")
        drawn = pyplot.imread(tmp_path / "picture.png")
        draw(found[:-1], tmp_path / "picture.png")
        fewer = pyplot.imread(tmp_path / "picture.png")
        assert drawn.shape[2] == 4 and (drawn.shape != fewer.shape or (drawn != fewer).any())


def test_wrong_options_are_named(data, tiny_size, tmp_path):
    from experiment import main

    common = ["--size", "tiny", "--cpu", "--data", str(data), "--work", str(tmp_path / "work")]
    with pytest.raises(ValueError, match=r"--minutes 7: --size tiny has updates for 0.02 0.05"):
        main([*common, "--minutes", "7"])
    with pytest.raises(ValueError, match="nothing to run: methods start from joint, and other starts take full"):
        main([*common, "--starts", "none", "--methods", "lora"])
    with pytest.raises(ValueError, match="--jobs 0: at least one"):
        main([*common, "--jobs", "0"])
    assert not (tmp_path / "work").exists()


def test_it_trains_decodes_reports_and_goes_on(data, tiny_size, tmp_path, monkeypatch, capsys):
    import experiment
    import grid

    work = tmp_path / "work"
    arguments = ["--size", "tiny", "--cpu", "--data", str(data), "--work", str(work), "--jobs", "2"]
    arguments += ["--minutes", "0.05", "--starts", "joint", "--methods", "full", "adapters"]
    with monkeypatch.context() as broken:
        broken.setitem(grid.METHODS, "adapters", grid.METHODS["adapters"]._replace(options=("--adapter-dimm", "32")))
        with pytest.raises(RuntimeError, match="1 of 3 runs failed: joint-adapters-0.05min-seed1: train ended with 2"):
            experiment.main(arguments)
    captured = capsys.readouterr()
    assert "unrecognized arguments: --adapter-dimm" in captured.err and "| full fine-tuning |" in captured.out
    assert (work / "results.tsv").read_text().count("\n") == 2  # what ended well is reported all the same

    experiment.main(arguments)
    out = capsys.readouterr().out
    assert re.findall(r"\[start\] (\S+)", out) == ["joint-adapters-0.05min-seed1"] and out.count("[done ]") == 2
    header, *rows = [line.split("\t") for line in (work / "results.tsv").read_text().splitlines()]
    assert header == ["run", "start", "method", "minutes", "seed", "WER", "CER", "trained parameters", "checkpoint MB",
                      "seconds", "best update"]  # fmt: skip
    full, adapters = (dict(zip(header, row, strict=True)) for row in rows)
    assert (full["method"], adapters["method"], full["minutes"]) == ("full", "adapters", "0.05")
    assert 0 < int(adapters["trained parameters"]) < int(full["trained parameters"])
    assert float(adapters["checkpoint MB"]) < float(full["checkpoint MB"]) and full["best update"] in ("1", "2")
    assert float(full["WER"]) > 0 and f"{float(full['CER']):.1f} / {float(full['WER']):.1f}" in out
    assert (work / "table.md").read_text() in out and (work / "plot.png").stat().st_size > 1000

    before = {file: file.stat().st_mtime_ns for file in (work / "runs").rglob("*")}
    experiment.main(arguments)
    assert "[start]" not in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in (work / "runs").rglob("*")} == before
