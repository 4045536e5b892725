"""What is wrong with this installation, and what to type: `python -m speecht5_fairseq.doctor`.

Every check is a small function that returns one Result. Nothing but the standard library is imported here: packages
are asked for their version, then imported in a process of their own, so that a broken one can be told about. Where
even the package does not import, `python speecht5_fairseq/doctor.py` does the same. Exit code: 1 on any error.
"""

from __future__ import annotations

import os
import sys

# As a script it has its own folder first in the path, where inspect.py is not the one that the library means.
sys.path[:] = [place for place in sys.path if os.path.abspath(place) != os.path.dirname(os.path.abspath(__file__))]

import functools
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent  # the folder that holds the package
PIP = "python -m pip"
TORCH_MEND = f"{PIP} install torch==2.11.0 torchaudio==2.11.0"  # the pair of constraints.txt
FLAVOURS = ("fairseq", "ve-fairseq", "fairseq-fixed")  # distributions that all install a package named fairseq
REQUIRED = ("sentencepiece", "editdistance", "sacrebleu", "tqdm", "joblib", "scikit-learn")
DISTRIBUTIONS = {"sklearn": "scikit-learn", "hydra": "hydra-core", "yaml": "PyYAML"}  # modules that pip calls otherwise
OPTIONAL = {
    "transformers": "conversion tests and benchmarks",
    "librosa": "log-mel tests",
    "G722": "recorded prompts",
    "num2words": "reading digits in texts",
    "matplotlib": "pictures of speech",
    **dict.fromkeys(("starlette", "uvicorn"), "the page in a browser"),
    **dict.fromkeys(("pyworld", "pystoi", "pesq", "pocketsphinx"), "scores of speech"),
}  # what each is for


class Result(NamedTuple):
    """One line of the table: status is "ok", "warning" or "error"; mend is what to type, empty when all is well."""

    check: str
    status: str
    found: str
    mend: str = ""


class Probe(NamedTuple):
    """What importing a module in a process of its own gave: last is the last line it printed (or its error)."""

    ok: bool
    last: str


def version_of(distribution: str) -> str | None:
    """Installed version of a distribution, None when it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def release(version: str) -> tuple[int, ...]:
    """Numbers of a version, without local and pre-release parts: "2.11.0+cu130" -> (2, 11, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[+a-z-]", version, maxsplit=1)[0]))


@functools.lru_cache(maxsize=None)  # noqa: UP033 (must speak on Python 3.8 too)
def probe(code: str) -> Probe:
    """Runs Python code in a new process from the folder that holds the package."""
    try:
        command = [sys.executable, "-W", "ignore", "-c", code]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        return Probe(False, "no answer within 300 seconds")
    if done.returncode < 0:
        return Probe(False, f"the process was ended by signal {-done.returncode}")
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return Probe(done.returncode == 0, lines[-1].strip() if lines else "")


def fairseq_mend() -> str:
    """The command that leaves exactly the right fairseq for this Python, whatever was there."""
    remove = f"{PIP} uninstall -y {' '.join(FLAVOURS)}"
    if sys.version_info < (3, 11):  # built from source; pip 24.1 and later refuse the metadata of omegaconf 2.0
        return f'{remove}; {PIP} install "pip<24.1" && {PIP} install --no-cache-dir fairseq==0.12.2'
    return f"{remove}; {PIP} install ve-fairseq==0.12.3"


def explain(module: str, failure: Probe) -> str:
    """The mend for a failed import, from the last line that it printed."""
    distribution = DISTRIBUTIONS.get(module, module)
    again = fairseq_mend() if module == "fairseq" else f"{PIP} install --force-reinstall --no-deps {distribution}"
    causes = (
        (r"mutable default|omegaconf|hydra|'numpy' has no attribute", fairseq_mend()),
        (r"data_utils_fast|token_block_utils_fast", f"unset PYTHONPATH; {fairseq_mend()}"),  # a checkout, not built
        (r"Could not load this library|undefined symbol|lib(torch|cu|nvrtc|nccl)[\w.-]*\.so", TORCH_MEND),
        (r"numpy\.dtype size changed|_ARRAY_API|multiarray failed", again),
    )
    for pattern, mend in causes:
        if re.search(pattern, failure.last):
            return mend
    missing = re.search(r"No module named '([\w]+)", failure.last)
    if missing and missing.group(1) not in (module, "speecht5_fairseq"):
        return f"{PIP} install {DISTRIBUTIONS.get(missing.group(1), missing.group(1))}"
    return f'to see all of it: python -c "import {module}"; to install afresh: make distclean setup'


def import_result(check: str, module: str, version: str) -> Result:
    tried = probe(f"import {module}")
    if tried.ok:
        return Result(check, "ok", version)
    return Result(check, "error", f"{version}: import {module} fails: {tried.last}", explain(module, tried))


def check_python() -> Result:
    found = ".".join(str(part) for part in sys.version_info[:3])
    if (3, 10) <= tuple(sys.version_info[:2]) < (3, 13):
        return Result("Python", "ok", found)
    return Result("Python", "error", f"{found}; fairseq runs on 3.10, 3.11 and 3.12", "make setup PYTHON=python3.11")


def check_torch() -> Result:
    version = version_of("torch")
    if version is None or release(version)[:2] < (2, 5):
        found = "not installed" if version is None else f"{version}; 2.5 or later is needed"
        return Result("torch", "error", found, TORCH_MEND)
    return import_result("torch", "torch", version)


def check_torchaudio() -> Result:
    """Its binary part is made for the torch of its own number, from the same place (CPU or CUDA build)."""
    version, torch = version_of("torchaudio"), version_of("torch")
    if version is None:
        return Result("torchaudio", "error", "not installed", TORCH_MEND)
    if torch is None:
        return Result("torchaudio", "warning", f"{version}; not tried, torch is missing", "install torch first")
    result = import_result("torchaudio", "torchaudio", version)
    if result.status == "error":
        return result._replace(found=f"{result.found} (torch is {torch})")
    if release(version)[:2] != release(torch)[:2]:
        found = f"{version} beside torch {torch}: imports, but was made for torch {version.split('+')[0]}"
        return Result("torchaudio", "warning", found, TORCH_MEND)
    return result


def check_numpy() -> Result:
    """fairseq before 0.12.2 names np.float and makes ragged arrays, which numpy 1.24 removed."""
    version, fairseq = version_of("numpy"), version_of("fairseq")
    if version is None:
        return Result("numpy", "error", "not installed", f"{PIP} install numpy")
    if fairseq and release(fairseq) < (0, 12, 2) and release(version) >= (1, 24):
        return Result("numpy", "error", f"{version}: fairseq {fairseq} uses np.float, gone since 1.24", fairseq_mend())
    return import_result("numpy", "numpy", version)


def check_fairseq_flavour() -> Result:
    """fairseq 0.12.2 ends at Python 3.10, ve-fairseq begins at 3.11; both write into the same folder."""
    installed = {name: version for name in FLAVOURS if (version := version_of(name))}
    found = ", ".join(f"{name} {version}" for name, version in installed.items()) or "not installed"
    python = ".".join(map(str, sys.version_info[:2]))
    tested = {"fairseq": "0.12.2"} if sys.version_info < (3, 11) else {"ve-fairseq": "0.12.3"}
    if installed == tested:
        return Result("fairseq", "ok", found)
    status = "error"
    if len(installed) > 1:
        found += ": they overwrite each other"
    elif "fairseq" in installed and sys.version_info >= (3, 11):
        found += f" does not import on Python {python} (mutable default in a dataclass)"
    elif installed:
        status, found = "warning", f"{found}: not tested on Python {python}"
    return Result("fairseq", status, found, fairseq_mend())


def check_hydra() -> Result:
    """fairseq 0.12.2 was written for hydra-core 1.0 and omegaconf 2.0 and breaks with later ones."""
    hydra, omegaconf = version_of("hydra-core"), version_of("omegaconf")
    found = f"hydra-core {hydra or 'missing'}, omegaconf {omegaconf or 'missing'}"
    if sys.version_info < (3, 11):
        hydra_range, omegaconf_range = ((1, 0), (1, 1)), ((2, 0), (2, 1))  # at least, below
        mend = f'{PIP} install "pip<24.1" && {PIP} install hydra-core==1.0.7 omegaconf==2.0.6'
    else:
        hydra_range, omegaconf_range = ((1, 3), (2, 0)), ((2, 2), (3, 0))
        mend = f"{PIP} install hydra-core==1.3.8 omegaconf==2.3.1"
    pairs = (hydra, *hydra_range), (omegaconf, *omegaconf_range)
    if all(version and low <= release(version)[:2] < high for version, low, high in pairs):
        return Result("hydra, omegaconf", "ok", found)
    return Result("hydra, omegaconf", "error", found, mend)


def check_fairseq_import() -> Result:
    """Imports fairseq and holds where it came from: a checkout on PYTHONPATH wins over the installed one."""
    name = next((name for name in FLAVOURS if version_of(name)), None)
    if name is None:
        return Result("import fairseq", "warning", "not tried, fairseq is missing", "install fairseq first")
    tried = probe(
        "import fairseq, fairseq.data.data_utils_fast, fairseq.data.token_block_utils_fast\nprint(fairseq.__file__)"
    )
    if not tried.ok:
        return Result("import fairseq", "error", tried.last, explain("fairseq", tried))
    installed = Path(str(metadata.distribution(name).locate_file("fairseq"))).resolve()
    if Path(tried.last).resolve().parent != installed:
        found = f"{tried.last} is imported, not the installed {installed}"
        return Result("import fairseq", "warning", found, f"unset PYTHONPATH; if it stays so: {fairseq_mend()}")
    return Result("import fairseq", "ok", "imports")


def check_libsndfile() -> Result:
    """soundfile's wheels bring libsndfile; a build from source needs the system's."""
    version = version_of("soundfile")
    if version is None:
        return Result("soundfile", "error", "not installed", f"{PIP} install soundfile")
    tried = probe("import soundfile; print(soundfile.__libsndfile_version__)")
    if tried.ok:
        return Result("soundfile", "ok", f"{version}, libsndfile {tried.last}")
    return Result("soundfile", "error", f"{version}: {tried.last}", f"{PIP} install --force-reinstall soundfile")


def check_required(distribution: str) -> Result:
    version = version_of(distribution)
    if version is None:
        return Result(distribution, "error", "not installed", f"{PIP} install {distribution}")
    module = "sklearn" if distribution == "scikit-learn" else distribution
    return import_result(distribution, module, version)


def check_cuda() -> Result:
    """No GPU is fine; a GPU that torch cannot use is not."""
    if version_of("torch") is None or not probe("import torch").ok:
        return Result("CUDA", "warning", "not tried, torch does not import", "mend torch first")
    tried = probe("import torch; print(torch.version.cuda, torch.cuda.is_available(), torch.cuda.device_count())")
    built, available, count = tried.last.split() if tried.ok else ("None", "False", "0")
    driver = nvidia_driver()
    if available == "True":
        return Result("CUDA", "ok", f"{count} GPU(s), torch built for CUDA {built}, driver {driver or 'unknown'}")
    if driver is None:
        return Result("CUDA", "ok", "no NVIDIA driver: training and decoding run on the CPU (--cpu)")
    if built == "None":
        return Result("CUDA", "warning", f"driver {driver}, but torch is a CPU build", TORCH_MEND)
    return Result(
        "CUDA",
        "warning",
        f"driver {driver} does not serve CUDA {built}, which torch is built for",
        "update the NVIDIA driver (CUDA 13 wants 580 or later), or install torch's and torchaudio's builds "
        "for an older CUDA; then: nvidia-smi",
    )


def nvidia_driver() -> str | None:
    """Version of the kernel's NVIDIA driver, None without one."""
    path = Path("/proc/driver/nvidia/version")
    found = re.search(r"Module\D*([\d.]+)", path.read_text(encoding="utf-8")) if path.exists() else None
    return found.group(1) if found else None


def check_commands() -> Result:
    """fairseq-train of another environment on PATH would run with that environment's packages."""
    command = shutil.which("fairseq-train")
    if command and Path(command).parent.resolve() == Path(sys.prefix, "bin").resolve():
        return Result("fairseq-train", "ok", command)
    found = f"{command} is of another environment than {sys.prefix}" if command else "not on PATH"
    return Result("fairseq-train", "warning", found, f". {Path(sys.prefix, 'bin', 'activate')}")


def check_package(earlier_errors: bool) -> Result:
    """Imports the package itself, as --user-dir does; after other errors that would only repeat them."""
    name = "speecht5_fairseq"
    if earlier_errors:
        return Result(name, "warning", "not tried: mend the errors above first")
    tried = probe(f"import {name}, fairseq.tasks as f; print(sum('speecht5' in task for task in f.TASK_REGISTRY))")
    if not tried.ok:
        return Result(name, "error", f"import fails: {tried.last}", explain(name, tried))
    if tried.last == "0":
        return Result(name, "error", "imports, but registers no task", f"git checkout {name}/__init__.py")
    return Result(name, "ok", f"imports, registers {tried.last} task(s)")


def check_optional(distribution: str) -> Result:
    version = version_of(distribution)
    found = f"{version or 'not installed'} (optional: {OPTIONAL[distribution]})"
    return Result(distribution, "ok", found, "" if version else f"{PIP} install {distribution}")


def run_checks() -> list[Result]:
    """Every check, in the order in which to mend."""
    checks = (
        check_python,
        check_torch,
        check_torchaudio,
        check_numpy,
        check_fairseq_flavour,
        check_hydra,
        check_fairseq_import,
        check_libsndfile,
    )
    results = [check() for check in checks] + [check_required(name) for name in REQUIRED]
    results += [check_cuda(), check_commands()]
    results.append(check_package(any(result.status == "error" for result in results)))
    return results + [check_optional(name) for name in OPTIONAL]


def format_table(results: list[Result]) -> str:
    """Columns check, status, found; a mend on its own line, to be copied."""
    width = max(len(result.check) for result in results)
    lines = []
    for result in results:
        lines.append(f"{result.check:<{width}}  {result.status:<7}  {result.found}")
        lines += [f"{'':<{width}}  mend:    {result.mend}"] if result.mend else []
    return "\n".join(lines)


def main() -> int:
    results = run_checks()
    print(format_table(results))
    errors, warnings = (sum(result.status == status for result in results) for status in ("error", "warning"))
    print(f"{errors} errors, {warnings} warnings" + ("; mend from the top, then run this again" if errors else ""))
    if not any(version_of(name) for name in ("torch", *FLAVOURS)):
        print(f"{sys.prefix} holds no installation: make setup, then activate the environment that it names")
    return int(errors > 0)


if __name__ == "__main__":
    sys.exit(main())
