"""Sounds and programs out of Debian's packages, without root: downloaded by apt, unpacked into a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .prompts_sources import _command, _filling

APT_MEND = "refresh the package lists (`apt-get update` as root)"


def check_apt(mend: str) -> None:
    """Raises RuntimeError with `mend` when this is no system with apt-get and dpkg-deb."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise RuntimeError(f"{program} is not on PATH (not a Debian system?); {mend}")


def unpack_packages(packages: Sequence[str], folder: Path, *, mend: str) -> Path:
    """`packages` unpacked together in `folder`, which is left alone when it is there; returns it.

    mend: what else the user can do, for messages. Raises RuntimeError when apt-get or dpkg-deb is missing or fails.
    """
    if folder.is_dir():
        return folder
    check_apt(mend)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _filling(folder) as unpacked, tempfile.TemporaryDirectory(dir=folder.parent) as downloads:
        _command(["apt-get", "download", *packages], downloads, f"{APT_MEND}, or {mend}")
        for package in sorted(Path(downloads).glob("*.deb")):
            unpack = ["dpkg-deb", "-x", str(package.resolve()), str(unpacked.resolve())]
            _command(unpack, downloads, "the download is damaged: run again")
    return folder


def missing_packages(package: str, *, mend: str) -> list[str]:
    """`package` and what it needs that this system lacks, by a simulated installation; needs no root.

    Raises RuntimeError when apt-get is missing or knows no such package.
    """
    check_apt(mend)
    simulate = ["apt-get", "--simulate", "install", "--no-install-recommends", package]
    done = subprocess.run(simulate, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"`{' '.join(simulate)}` failed: {reason[0]}; {APT_MEND}, or {mend}")
    names = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("Inst ")]
    return names or [package]  # installed, but not on PATH: its files are wanted all the same


def library_path(root: Path) -> str:
    """LD_LIBRARY_PATH for the programs unpacked in `root`: its folders of shared libraries, then the variable's own."""
    folders = sorted({str(path.parent.resolve()) for path in root.rglob("*.so*")})
    return os.pathsep.join(folders + [path for path in (os.environ.get("LD_LIBRARY_PATH"),) if path])
