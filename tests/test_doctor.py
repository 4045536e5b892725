"""Each trouble that people hit is named, with the command that mends it; what is asked of the machine is made up."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from speecht5_fairseq import doctor

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "speecht5_fairseq" / "doctor.py"
HEALTHY = {
    "torch": "2.11.0+cu130",
    "torchaudio": "2.11.0",
    "numpy": "2.4.6",
    "ve-fairseq": "0.12.3",
    "hydra-core": "1.3.8",
    "omegaconf": "2.3.1",
    "soundfile": "0.14.0",
    **dict.fromkeys(doctor.REQUIRED, "1.0"),
}
HEALTHY_310 = {**HEALTHY, "fairseq": "0.12.2", "numpy": "1.26.4", "hydra-core": "1.0.7", "omegaconf": "2.0.6"}
del HEALTHY_310["ve-fairseq"]


class Machine:
    """What the doctor is told: Python's version, installed versions, and the error that code naming a word ends in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.installed = dict(HEALTHY)
        self.failures: dict[str, str] = {}
        self.answers = {"fairseq": "/site/fairseq/__init__.py", "cuda": "13.0 False 0", "sndfile": "1.2.2"}
        self.patch = monkeypatch
        self.python(3, 11, 7)
        monkeypatch.setattr(doctor.metadata, "version", self.version)
        monkeypatch.setattr(doctor.metadata, "distribution", lambda name: self)
        monkeypatch.setattr(doctor, "probe", self.probe)
        monkeypatch.setattr(doctor, "nvidia_driver", lambda: None)
        monkeypatch.setattr(doctor.shutil, "which", lambda name: str(Path(sys.prefix) / "bin" / name))

    def python(self, *version: int) -> None:
        self.patch.setattr(doctor.sys, "version_info", version)

    def version(self, name: str) -> str:
        if name not in self.installed:
            raise metadata.PackageNotFoundError(name)
        return self.installed[name]

    def locate_file(self, name: str) -> Path:
        return Path("/site") / name

    def probe(self, code: str) -> doctor.Probe:
        for word, last in self.failures.items():
            if re.search(rf"import {word}\b", code):
                return doctor.Probe(False, last)
        if "TASK_REGISTRY" in code:
            return doctor.Probe(True, "3")
        return doctor.Probe(True, next((answer for word, answer in self.answers.items() if word in code), ""))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.mark.parametrize(
    ("python", "installed"), [((3, 10, 13), HEALTHY_310), ((3, 11, 7), HEALTHY), ((3, 12, 1), HEALTHY)]
)
def test_a_healthy_installation_has_nothing_to_mend(machine, capsys, python, installed):
    machine.python(*python)
    machine.installed = dict(installed)
    assert doctor.main() == 0
    assert "0 errors, 0 warnings" in capsys.readouterr().out


@pytest.mark.parametrize("python", [(3, 9, 18), (3, 13, 0)])
def test_unsupported_python(machine, python):
    machine.python(*python)
    assert doctor.check_python() == doctor.Result(
        "Python",
        "error",
        f"{'.'.join(map(str, python))}; fairseq runs on 3.10, 3.11 and 3.12",
        "make setup PYTHON=python3.11",
    )


@pytest.mark.parametrize(
    ("torch", "status", "words"),
    [
        (None, "error", "not installed"),
        ("2.4.1", "error", "2.5 or later"),
        ("2.5.0", "ok", "2.5.0"),
        ("2.11.0+cpu", "ok", "2.11.0+cpu"),
        ("2.12.0a0+git1", "ok", "2.12.0a0"),
    ],
)
def test_torch_version(machine, torch, status, words):
    machine.installed.pop("torch")
    if torch:
        machine.installed["torch"] = torch
    result = doctor.check_torch()
    assert result.status == status and words in result.found
    assert bool(result.mend) == (status == "error")


def test_torchaudio_that_does_not_load_beside_another_torch(machine):
    machine.installed["torch"] = "2.13.0+cpu"
    machine.failures["torchaudio"] = "OSError: Could not load this library: /site/torchaudio/lib/_torchaudio.abi3.so"
    result = doctor.check_torchaudio()
    assert result.status == "error"
    assert "Could not load this library" in result.found and "torch is 2.13.0+cpu" in result.found
    assert result.mend == doctor.TORCH_MEND


def test_torchaudio_of_another_release_that_loads_is_a_warning(machine):
    machine.installed["torch"] = "2.14.1"
    result = doctor.check_torchaudio()
    assert (result.status, result.mend) == ("warning", doctor.TORCH_MEND)
    assert "2.14.1" in result.found


def test_fairseq_missing(machine):
    del machine.installed["ve-fairseq"]
    assert doctor.check_fairseq_flavour().mend.endswith("install ve-fairseq==0.12.3")


def test_old_fairseq_on_python_311(machine):
    machine.installed = {**HEALTHY_310}
    result = doctor.check_fairseq_flavour()
    assert result.status == "error" and "does not import on Python 3.11 (mutable default" in result.found
    assert "uninstall -y fairseq" in result.mend and result.mend.endswith("install ve-fairseq==0.12.3")


def test_both_flavours_overwrite_each_other(machine):
    machine.installed["fairseq"] = "0.12.2"
    result = doctor.check_fairseq_flavour()
    assert result.status == "error" and "fairseq 0.12.2, ve-fairseq 0.12.3" in result.found
    assert "uninstall -y fairseq ve-fairseq fairseq-fixed" in result.mend


def test_another_fairseq_is_a_warning(machine):
    machine.installed.pop("ve-fairseq")
    machine.installed["fairseq-fixed"] = "0.12.3.1"
    result = doctor.check_fairseq_flavour()
    assert result.status == "warning" and "not tested on Python 3.11" in result.found


def test_mend_on_310_takes_a_pip_that_accepts_omegaconf(machine):
    machine.python(3, 10, 13)
    assert '"pip<24.1"' in doctor.fairseq_mend() and "fairseq==0.12.2" in doctor.fairseq_mend()


def test_fairseq_before_0122_with_numpy_124(machine):
    machine.installed["fairseq"] = "0.12.1"
    machine.installed["numpy"] = "1.24.0"
    assert "np.float" in doctor.check_numpy().found
    machine.installed["numpy"] = "1.23.5"
    assert doctor.check_numpy().status == "ok"


@pytest.mark.parametrize(
    ("python", "hydra", "omegaconf", "status"),
    [
        ((3, 10, 13), "1.0.7", "2.0.6", "ok"),
        ((3, 10, 13), "1.3.2", "2.3.0", "error"),
        ((3, 10, 13), None, None, "error"),
        ((3, 11, 7), "1.3.8", "2.3.1", "ok"),
        ((3, 11, 7), "1.0.7", "2.0.6", "error"),
        ((3, 12, 1), "1.3.8", None, "error"),
    ],
)
def test_hydra_and_omegaconf_fit_the_fairseq_of_this_python(machine, python, hydra, omegaconf, status):
    machine.python(*python)
    machine.installed.update({"hydra-core": hydra, "omegaconf": omegaconf})
    result = doctor.check_hydra()
    assert result.status == status
    if status == "error":
        assert ("omegaconf==2.0.6" if python < (3, 11) else "omegaconf==2.3.1") in result.mend


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ("ValueError: mutable default <class 'CommonConfig'> for field common is not allowed", "ve-fairseq==0.12.3"),
        ("ImportError: cannot import name 'II' from 'omegaconf'", "ve-fairseq==0.12.3"),
        ("AttributeError: module 'numpy' has no attribute 'float'.", "ve-fairseq==0.12.3"),
        ("ValueError: numpy.dtype size changed, may indicate binary incompatibility.", "ve-fairseq==0.12.3"),
        ("ModuleNotFoundError: No module named 'fairseq.data.data_utils_fast'", "unset PYTHONPATH"),
        ("ImportError: libtorch_cpu.so: undefined symbol: _ZN", doctor.TORCH_MEND),
        ("ImportError: libcudnn.so.9: cannot open shared object file", doctor.TORCH_MEND),
        ("ModuleNotFoundError: No module named 'bitarray'", "install bitarray"),
        ("ModuleNotFoundError: No module named 'yaml'", "install PyYAML"),
        ("RuntimeError: something else", 'python -c "import fairseq"'),
    ],
)
def test_fairseq_import_failures_name_their_mend(machine, last, words):
    machine.failures["fairseq"] = last
    result = doctor.check_fairseq_import()
    assert (result.status, result.found) == ("error", last)
    assert words in result.mend


def test_fairseq_from_a_checkout_on_pythonpath(machine):
    machine.answers["fairseq"] = "/home/me/fairseq/fairseq/__init__.py"
    result = doctor.check_fairseq_import()
    assert result.status == "warning" and "/home/me/fairseq" in result.found and "unset PYTHONPATH" in result.mend


def test_libsndfile(machine):
    assert doctor.check_libsndfile().found == "0.14.0, libsndfile 1.2.2"
    machine.failures["soundfile"] = "OSError: sndfile library not found using ctypes.util.find_library"
    result = doctor.check_libsndfile()
    assert result.status == "error" and result.mend.endswith("--force-reinstall soundfile")


def test_required_package_missing_or_broken(machine):
    machine.installed.pop("sentencepiece")
    machine.failures["sklearn"] = "ImportError: numpy.core.multiarray failed to import"
    assert doctor.check_required("sentencepiece").mend == "python -m pip install sentencepiece"
    assert doctor.check_required("scikit-learn").mend.endswith("--force-reinstall --no-deps scikit-learn")


@pytest.mark.parametrize(
    ("driver", "answer", "status", "words"),
    [
        (None, "13.0 False 0", "ok", "no NVIDIA driver"),
        ("580.65", "13.0 True 2", "ok", "2 GPU(s)"),
        ("535.104", "13.0 False 0", "warning", "driver 535.104 does not serve CUDA 13.0"),
        ("580.65", "None False 0", "warning", "torch is a CPU build"),
    ],
)
def test_cuda(machine, monkeypatch, driver, answer, status, words):
    machine.answers["cuda"] = answer
    monkeypatch.setattr(doctor, "nvidia_driver", lambda: driver)
    result = doctor.check_cuda()
    assert result.status == status and words in result.found
    assert bool(result.mend) == (status == "warning")


def test_commands_of_another_environment(machine, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/local/bin/fairseq-train")
    assert "another environment" in doctor.check_commands().found
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor.check_commands().mend.endswith("bin/activate")


def test_errors_end_with_exit_code_1_and_the_package_is_not_tried(machine, capsys):
    machine.installed.pop("torch")
    assert doctor.main() == 1
    printed = capsys.readouterr().out
    assert doctor.TORCH_MEND in printed and "not tried: mend the errors above first" in printed


def test_bare_python_is_sent_to_make_setup(machine, capsys):
    machine.installed = {}
    assert doctor.main() == 1
    assert "make setup" in capsys.readouterr().out.splitlines()[-1]


def test_missing_optional_packages_are_no_fault(machine):
    result = doctor.check_optional("librosa")
    assert result.status == "ok" and result.mend == "python -m pip install librosa"


def test_package_that_registers_nothing(machine, monkeypatch):
    monkeypatch.setattr(doctor, "probe", lambda code: doctor.Probe(True, "0"))
    assert "registers no task" in doctor.check_package(False).found


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("2.11.0+cu130", (2, 11, 0)), ("1.0.0a0+1", (1, 0, 0)), ("0.12.3.1", (0, 12, 3, 1)), ("26.1rc2", (26, 1))],
)
def test_release(version, numbers):
    assert doctor.release(version) == numbers


def test_probe_gives_the_last_line_of_a_real_process():
    assert doctor.probe("print('a'); print('b')") == doctor.Probe(True, "b")
    assert doctor.probe("raise ValueError('no')") == doctor.Probe(False, "ValueError: no")
    assert doctor.probe("import os; os.kill(os.getpid(), 11)").last == "the process was ended by signal 11"


def test_mends_name_the_versions_of_the_constraints():
    """The doctor carries these numbers itself, since it must run where nothing else does."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split(";")[0].strip() for line in lines if "==" in line and not line.startswith("#")}
    source = (ROOT / "speecht5_fairseq" / "doctor.py").read_text(encoding="utf-8")
    named = set(re.findall(r"\b[\w-]+==\d[\d.]*", source))
    assert len(named) >= 7 and named <= pinned, named - pinned


@pytest.mark.parametrize("command", [["-m", "speecht5_fairseq.doctor"], ["speecht5_fairseq/doctor.py"]])
def test_runs_where_neither_torch_nor_fairseq_is_installed(command):
    """-S: Python without its site-packages."""
    done = subprocess.run([sys.executable, "-S", *command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "make setup" in done.stdout.splitlines()[-1]


def test_as_a_script_it_takes_the_library_s_modules_and_not_the_package_s():
    """A script's folder comes first in Python's path, and this one has an inspect.py."""
    code = f"""
import runpy, sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
for name in ("inspect", "dataclasses"):
    sys.modules.pop(name, None)
try:
    runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
except SystemExit:
    pass
import inspect
print(inspect.__file__)
"""
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[-1]).name == "inspect.py" and str(ROOT) not in done.stdout.splitlines()[-1]


def test_a_package_that_does_not_import_sends_to_the_doctor():
    command = [sys.executable, "-S", "-c", "import speecht5_fairseq"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    said = re.search(r"speecht5_fairseq does not import: .*torch.* What to mend: python (\S+)$", done.stderr)
    assert said and Path(said.group(1)).resolve() == ROOT / "speecht5_fairseq" / "doctor.py", done.stderr
