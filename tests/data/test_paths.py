"""Which paths of a manifest may be read, and what is no file."""

import os
import socket

import numpy as np
import pytest
from helpers import NEW_RUN, tiny_manifest, write_lines

from speecht5_fairseq.data.checks import verify
from speecht5_fairseq.data.file_states import file_states
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, ManifestError
from speecht5_fairseq.data.paths import irregular, leaves_root, path_problem
from speecht5_fairseq.tasks.s2t import S2TTask, S2TTaskConfig

ROOT = "/data/x/../audio"


@pytest.mark.parametrize(
    ("path", "leaves"),
    [
        ("a.wav", False), ("a/b..c/..d.wav", False), ("...", False), ("/data/audio/a.wav", False),
        ("/data/audio/./a.wav", False), ("../a.wav", True), ("a/../b.wav", True), ("a/..", True), ("..", True),
        ("x.tar:../a", True), ("x.zip:a/../../b", True), ("..:a", True), ("/etc/passwd", True),
        ("/data/audio2/a", True),
        ("/data/audio/../b", True), ("//etc/passwd", True), ("/", True),
    ],
)  # fmt: skip
def test_what_leaves_the_root(path, leaves):
    assert leaves_root(path, ROOT) is leaves


def test_below_the_top_everything_is_inside_but_dots():
    assert not leaves_root("/etc/a.wav", "/") and leaves_root("../a.wav", "/")


@pytest.mark.parametrize("path", ["a\nb", "a\0.wav", "\x1b[2J.wav", "a\x7f"])
@pytest.mark.parametrize("outside", [True, False])
def test_control_characters_are_refused_always(path, outside):
    problem, mend = path_problem(path, ROOT, vector=False, outside=outside)
    assert problem.startswith("a control character in a path ('") and mend == "rename the file"
    assert problem.isprintable()


def test_letters_of_all_scripts_are_none():
    assert path_problem("नमस्\u200dते/\u00ad東京.wav", ROOT, vector=False) is None


def test_a_path_without_an_end():
    problem, _ = path_problem("x.tar:" * 5000, ROOT, vector=False)
    assert problem == "a path of 30,000 characters ('x.tar:x.tar:x.tar:x.tar:x.tar:x.tar:x.ta'...)"


def test_vectors_may_stand_outside_under_their_own_name():
    assert path_problem("../../v.npy", ROOT, vector=True) is None
    assert path_problem("/elsewhere/v.npy", ROOT, vector=True) is None
    for path, vector in (("../../v.npy", False), ("../../v.wav", True), ("/etc/passwd", True)):
        assert path_problem(path, ROOT, vector=vector) is not None


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        kinds = {name: irregular(tmp_path / name) for name in ("pipe", "file", "link", "socket", "nothing", ".")}
    assert kinds == {
        "pipe": "a pipe", "file": None, "link": None, "socket": "a socket", "nothing": None, ".": "a folder",
    }  # fmt: skip
    assert irregular("/dev/zero") == "a device" and irregular("a\0b") is None


@pytest.fixture
def escaping(tmp_path):
    """A manifest whose third row leads to a recording beside the root."""
    path = tiny_manifest(tmp_path / "data", 4, samples=[4000] * 4)
    (tmp_path / "data/audio_train/1.wav").rename(tmp_path / "data/secret.wav")
    write_lines(path, path.read_text().replace("\n1.wav", "\n../secret.wav").splitlines())
    return path


def test_the_row_is_refused_by_its_line_unless_allowed(escaping):
    manifest = Manifest.open(escaping, JOB_COLUMNS["s2t"])
    with pytest.raises(ManifestError, match=f"^{escaping}:3: the path leads out .*'../secret.wav'.*--allow-outside"):
        manifest.path(1)
    assert manifest.files(1) == [""] and manifest.file_of(1) == "" and manifest.path(0).is_file()
    allowed = Manifest.open(escaping, JOB_COLUMNS["s2t"], outside=True)
    assert allowed.path(1).is_file() and allowed.files(1) == [str(allowed.path(1))]


@pytest.mark.parametrize("level", ["full", "quick"])
def test_verification_lists_it_and_does_not_look_at_it(escaping, level):
    manifest = Manifest.open(escaping, JOB_COLUMNS["s2t"])
    report = verify(manifest, level=level, progress=False)
    assert list(report.bad_rows) == [1] and report.total_problems == 1
    assert report.problems[0].startswith(f"{escaping}:3: the path leads out of the audio root")
    assert file_states(manifest, np.array([1])).tolist() == [[[-1, -1]]]


def test_a_stamp_of_what_was_allowed_does_not_allow(escaping):
    assert not verify(Manifest.open(escaping, JOB_COLUMNS["s2t"], outside=True), progress=False).total_problems
    again = verify(Manifest.open(escaping, JOB_COLUMNS["s2t"], outside=True), progress=False)
    assert again.from_stamp
    assert verify(Manifest.open(escaping, JOB_COLUMNS["s2t"]), progress=False).total_problems == 1


def test_a_root_that_can_be_no_folder(escaping):
    write_lines(escaping, ["/" + "r" * 5000, "0.wav\t4000"])
    with pytest.raises(ManifestError, match="train.tsv:1: the audio root is no folder"):
        verify(Manifest.open(escaping, JOB_COLUMNS["s2t"]), progress=False)


@pytest.mark.parametrize("allowed", [True, False])
def test_the_option_of_the_tasks(escaping, allowed):
    options = S2TTaskConfig(data=str(escaping.parent), lm_path=None, **NEW_RUN, allow_outside_root=allowed)
    manifest = S2TTask.setup_task(options).open_manifest("train")
    assert manifest.outside is allowed
