"""The folder of results: whole lines, resuming, other settings, unique names."""

import pytest
from helpers import locked_elsewhere
from hypothesis import given
from hypothesis import strategies as st

from speecht5_fairseq.generation.results_folder import COLUMNS, DONE, ResultsFolder, unique_names

SETTINGS = {"checkpoint": [10, 20], "seed": 1}


def lines(folder):
    return [line.split("\t") for line in (folder / "results.tsv").read_text(encoding="utf-8").splitlines()]


def write(results, name, status=DONE):
    for suffix in (".wav", ".npy", ".png"):
        path = results.path(name, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    results.add(name, wav=f"{name}.wav", mel=f"{name}.npy", frames=7, inputs="i1", status=status)


def done(results):
    return {name for name in results.rows if results.is_done(name, "i1")}


def test_a_line_an_utterance_below_a_header(tmp_path):
    results = ResultsFolder(tmp_path / "out", SETTINGS)
    write(results, "en/a")
    results.add("en/b", text="tab\there,\nand a line end", status="the vocoder said no")
    header, first, second = lines(tmp_path / "out")
    assert header == list(COLUMNS)
    assert dict(zip(header, first, strict=True))["wav"] == "en/a.wav" and first[-1] == "ok"
    assert dict(zip(header, second, strict=True))["text"] == "tab here, and a line end"
    assert done(results) == {"en/a"} and results.failed == {"en/b": "the vocoder said no"}


def test_an_interrupted_run_goes_on(tmp_path):
    results = ResultsFolder(tmp_path, SETTINGS)
    for name in ("c", "a", "b"):
        write(results, name)
    results.add("d", status="failed")
    with open(tmp_path / "results.tsv", "a", encoding="utf-8") as file:
        file.write("e\te.wav\te.n")  # a kill in the middle of a line
    (tmp_path / "b.wav").unlink()
    again = ResultsFolder(tmp_path, dict(reversed(SETTINGS.items())))
    assert done(again) == {"a", "c"}  # b lost its file, d failed, e has half a line
    write(again, "b")
    again.close(["a", "b", "c", "d", "e"])
    assert [line[0] for line in lines(tmp_path)] == ["id", "a", "b", "c", "d"]


def test_results_of_other_settings_are_never_mixed(tmp_path):
    write(ResultsFolder(tmp_path, SETTINGS), "a")
    with pytest.raises(ValueError, match="results of another run .other: seed.; give another --results-path, or"):
        ResultsFolder(tmp_path, {**SETTINGS, "seed": 2})
    assert done(ResultsFolder(tmp_path, SETTINGS)) == {"a"}
    assert done(ResultsFolder(tmp_path, {**SETTINGS, "seed": 2}, overwrite=True)) == set()
    assert len(lines(tmp_path)) == 1


def test_results_of_another_manifest_are_never_dropped(tmp_path):
    """Rows that left the manifest are forgotten, with their failures; not all of them at once."""
    results = ResultsFolder(tmp_path, SETTINGS, names=["a", "b"])
    write(results, "a")
    results.add("b", status="failed")
    with pytest.raises(ValueError, match="another manifest .none of its 2 utterances, such as a, is in this one"):
        ResultsFolder(tmp_path, SETTINGS, names=["c", "d"])
    ResultsFolder(tmp_path, SETTINGS, names=[" a"])  # white space is one space in the table
    again = ResultsFolder(tmp_path, SETTINGS, names=["a", "c"])
    again.close(["a", "c"])
    assert [line[0] for line in lines(tmp_path)] == ["id", "a"] and not again.failed and set(again.rows) == {"a"}
    ResultsFolder(tmp_path, SETTINGS, names=["c", "d"], overwrite=True)
    assert {path.name for path in tmp_path.glob("[!.]*")} == {"results.tsv", "run.json"} and len(lines(tmp_path)) == 1


def test_a_run_without_results_stands_in_no_ones_way(tmp_path):
    """It ended at an option that another of its options had to agree with, say."""
    ResultsFolder(tmp_path, SETTINGS)
    again = ResultsFolder(tmp_path, {**SETTINGS, "seed": 2}, names=["a"])
    write(again, "a")
    assert done(ResultsFolder(tmp_path, {**SETTINGS, "seed": 2})) == {"a"}


def test_another_jobs_table_is_never_overwritten(tmp_path):
    """Identification writes a table of the same name and no run.json; an empty table is nobody's loss."""
    table = tmp_path / "results.tsv"
    table.write_text("id\tpath\tclass\tembedding\na\ta.wav\tanna\ta.npy\n")
    with pytest.raises(ValueError, match="another job, or of a run that has lost its run.json; give another --results"):
        ResultsFolder(tmp_path, SETTINGS)
    assert lines(tmp_path)[1][2] == "anna"
    write(ResultsFolder(tmp_path, SETTINGS, overwrite=True), "b")
    (tmp_path / "run.json").unlink()
    with pytest.raises(ValueError, match="has lost its run.json"):
        ResultsFolder(tmp_path, SETTINGS)
    table.write_text("id\tpath\tclass\tembedding\n")
    ResultsFolder(tmp_path, SETTINGS)
    assert lines(tmp_path) == [list(COLUMNS)]


def test_what_is_overwritten_leaves_no_files(tmp_path):
    """A picture of another checkpoint would count as done; what the table does not name, or nobody of ours, stays."""
    folder = tmp_path / "out"
    results = ResultsFolder(folder, SETTINGS)
    for name in ("en/a", "b", "../up"):
        write(results, name)
    (folder / "mine.wav").write_bytes(b"x")
    ResultsFolder(folder, {**SETTINGS, "seed": 2}, overwrite=True)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("[!.]*.*")}
    assert found == {"out/results.tsv", "out/run.json", "out/mine.wav", "up.wav", "up.npy", "up.png"}


def test_files_of_before_go_with_their_utterance(tmp_path):
    results = ResultsFolder(tmp_path, SETTINGS)
    write(results, "a")
    for suffix in (".wav", ".png"):  # a kill between these and the table's line
        results.path("b", suffix).write_bytes(b"x")
    again = ResultsFolder(tmp_path, SETTINGS)
    again.remove("a")
    again.remove("b")
    assert {path.name for path in tmp_path.glob("[!.]*")} == {"results.tsv", "run.json", "b.wav"}


def test_one_run_writes_at_a_time(tmp_path):
    """Each would leave the other's rows out at its end."""
    lock = tmp_path / ".lock"
    with locked_elsewhere(lock) as held:
        assert held
        with pytest.raises(ValueError, match=f"another run writes to {tmp_path}; wait for its end, or give another"):
            ResultsFolder(tmp_path, SETTINGS)
        assert not (tmp_path / "results.tsv").exists()
    results = ResultsFolder(tmp_path, SETTINGS)
    with locked_elsewhere(lock) as held:
        assert not held
    results.close([])
    with locked_elsewhere(lock) as held:
        assert held


def test_columns_that_scoring_added_stay(tmp_path):
    write(ResultsFolder(tmp_path, SETTINGS), "a")
    table = tmp_path / "results.tsv"
    header, row = table.read_text(encoding="utf-8").splitlines()
    table.write_text(f"{header}\tmcd\n{row}\t5.5\n", encoding="utf-8")
    again = ResultsFolder(tmp_path, SETTINGS)
    write(again, "b")
    again.close(["a", "b"])
    assert done(again) == {"a", "b"}
    assert [line[-1] for line in lines(tmp_path)] == ["mcd", "5.5", ""]


def test_other_inputs_or_a_missing_picture_are_not_done(tmp_path):
    results = ResultsFolder(tmp_path, SETTINGS)
    write(results, "a")
    assert results.is_done("a", "i1") and not results.is_done("a", "i2") and not results.is_done("b", "i1")
    assert results.is_done("a", "i1", picture=True)
    results.path("a", ".png").unlink()
    assert results.is_done("a", "i1") and not results.is_done("a", "i1", picture=True)


def test_names_are_paths_without_suffix_and_repeats_get_their_row():
    paths = ["en/a.wav", "fr/a.wav", "en/a.flac", "/data/x.wav", "../up/y.wav", "results.wav", "en/a-3.wav"]
    assert unique_names(paths) == ["en/a", "fr/a", "en/a-3", "data/x", "up/y", "results-6", "en/a-3-7"]
    assert unique_names(["01.tar:en/a.wav", "02.zip:en/a.flac", "01.tar:b.wav"]) == ["en/a", "en/a-2", "b"]
    segments = ["en/a.wav:0:160", "en/a.wav:160:320", "01.tar:en/a.wav:0:320", "02.tar:5:6"]
    assert unique_names(segments) == ["en/a-0-160", "en/a-160-320", "en/a-0-320", "5:6"]


@given(st.lists(st.sampled_from(["a.wav", "a-2.wav", "a-3.wav", "b/a.wav", "./a.wav", "../a.wav", "/a.wav", "run"])))
def test_no_two_utterances_share_a_name(paths):
    names = unique_names(paths)
    assert len(set(names)) == len(paths) and not {"run", "results"} & set(names)
    assert not any(name.startswith(("/", "..")) for name in names)
