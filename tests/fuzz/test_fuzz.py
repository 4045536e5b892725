"""A small share of the inputs of `make fuzz`, and whether the program would find what it looks for."""

import faulthandler
import os
import pickle
import signal
import time

import pytest
from fuzz import run, targets
from fuzz.hostile_pickles import calling, intruder_path
from fuzz.targets import TARGETS, NotRefused, Target, input_of, outcome_of
from hypothesis import given, settings
from hypothesis import strategies as st

from speecht5_fairseq.data.errors import DataError, ManifestError
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest
from speecht5_fairseq.models.checkpoint import read_checkpoint
from speecht5_fairseq.models.errors import CheckpointError

pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
SMALL = settings(max_examples=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_are_answered_or_refused_by_name(target, folder):
    """Anything else is raised: an error of another class, a message without the file, code that was run."""
    outcomes = {outcome_of(target, input_of(target, 2, index, folder), folder) for index in range(40)}
    assert outcomes - {"answered"}


@pytest.mark.parametrize("target", sorted(TARGETS.keys() - {"pickle"}))
def test_undamaged_inputs_are_answered(target, folder, monkeypatch):
    """The tests of damaged ones would pass if everything were refused."""
    for name in ("mutated", "mutated_member"):
        monkeypatch.setattr(targets, name, lambda rng, seeds, *rest: rng.choice(seeds))
    outcomes = {outcome_of(target, input_of(target, 2, index, folder), folder) for index in range(12)}
    assert "answered" in outcomes


@SMALL
@given(st.lists(st.lists(st.text(max_size=8), max_size=5).map("\t".join), max_size=6).map("\n".join))
def test_any_text_is_a_manifest_or_is_refused_by_its_line(folder, text):
    path = folder / "any.tsv"
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    for columns in JOB_COLUMNS.values():
        try:
            manifest = Manifest.open(path, columns)
            for index in range(len(manifest)):
                manifest.path(index)
        except ManifestError as error:
            assert str(error).startswith(f"{path}:")


@SMALL
@given(st.binary(max_size=200))
def test_any_bytes_are_no_checkpoint(folder, data):
    path = folder / "any.pt"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=f"^{path}: "):
        read_checkpoint(path)


PARTS = st.sampled_from(["..", ".", "a", "a..b", "..a", "", "x.tar:..", "x.tar:a", "v.npy", " "])


@SMALL
@given(st.lists(PARTS, min_size=1, max_size=6).map("/".join), st.booleans())
def test_no_path_leads_out_of_the_root(folder, path, speaker):
    columns, row = ("t2s", f"a.wav\t5\t{path}") if speaker else ("s2t", f"{path}\t5")
    (folder / "paths.tsv").write_text(f"{folder / 'root'}\n{row}\n")
    try:
        manifest = Manifest.open(folder / "paths.tsv", JOB_COLUMNS[columns])
        found = manifest.path(0, "speaker" if speaker else "path")
    except ManifestError:
        return
    inside = os.path.normpath(found).startswith(str(folder / "root"))
    assert inside or (speaker and path.endswith(".npy"))


def target_of(read):
    return Target(1, lambda rng, folder: bytes([rng.randrange(256)]), read, (DataError,))


def crash(data, folder):
    if data[0] % 8 == 0:
        faulthandler.disable()  # pytest's, which would fill the log
        os.kill(os.getpid(), signal.SIGSEGV)
    raise DataError(f"{folder}: refused; mend it")


def hang(data, folder):
    if data[0] % 8 == 0:
        time.sleep(60)


def stumble(data, folder):
    if data[0] % 8 == 0:
        raise IndexError(data[0])


def keep_silent(data, folder):
    if data[0] % 8 == 0:
        raise DataError("no file, no line")


def run_code(data, folder):
    if data[0] % 8 == 0:
        intruder_path(folder).touch()


FAULTS = {
    crash: "killed by signal 11",
    hang: "hangs: more than 0.5 s",
    stumble: "IndexError",
    keep_silent: "too little",
    run_code: "code in the input was run",
}


@pytest.mark.parametrize("read", FAULTS, ids=lambda read: read.__name__)
def test_the_program_finds_and_keeps(read, tmp_path, monkeypatch):
    monkeypatch.setitem(TARGETS, "faulty", target_of(read))
    monkeypatch.setattr(run, "BATCH", 12)
    faulty = [index for index in range(30) if input_of("faulty", 5, index, tmp_path)[0] % 8 == 0]
    results = run.fuzz("faulty", 30, 5, tmp_path, patience=0.5)
    assert [finding.index for finding in results.findings] == faulty and len(faulty) > 1
    assert all(FAULTS[read] in finding.what for finding in results.findings)
    assert results.inputs == 30 and sum(results.outcomes.values()) == 30 - len(faulty)
    kept = list(run.keep(results.findings, "faulty", 5, tmp_path, tmp_path / "kept"))
    assert len(kept) == len(list((tmp_path / "kept").iterdir())) == len(faulty)
    assert (tmp_path / f"kept/faulty-5-{faulty[0]}").read_bytes() == input_of("faulty", 5, faulty[0], tmp_path)
    if read is stumble:
        with pytest.raises(IndexError):
            run.read_again(tmp_path / f"kept/faulty-5-{faulty[0]}", tmp_path)


def test_the_table(tmp_path, monkeypatch, capsys):
    assert run.main(["--inputs", "30", "--targets", "dictionary", "speaker", "--keep", str(tmp_path / "kept")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert lines[0] == "| " + " | ".join(run.HEADER) + " |"
    assert [line.split(" | ")[1] for line in lines[1:]] == ["17", "13"]
    monkeypatch.setitem(TARGETS, "speaker", target_of(stumble))
    assert run.main(["--inputs", "30", "--targets", "speaker", "--keep", str(tmp_path / "kept")]) == 1
    assert "IndexError" in capsys.readouterr().out and list((tmp_path / "kept").iterdir())


def test_inputs_are_those_of_the_seed(folder):
    for target in TARGETS:
        one, same, other = (input_of(target, seed, 3, folder) for seed in (1, 1, 2))
        assert one == same
        assert one != other or target == "pickle"


def test_code_that_is_run_would_be_found(folder):
    """The targets of checkpoints would pass with pickles that do nothing."""
    pickle.loads(calling("posix\nsystem", f"touch {intruder_path(folder)}"))
    with pytest.raises(NotRefused, match="code in the input was run"):
        outcome_of("units.json", b'{"settings": {}, "model": "", "splits": {}}', folder)
