"""The flags of a training: of a shell file as the examples have them, and of the command line."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.tasks import TASK_REGISTRY
from omegaconf import DictConfig

from ..models.jobs import JOBS, PREFIX, PRETRAIN

ARRAYS = ("FLAGS",)  # of the examples' files
# Prints the data folder, then each flag, with a zero byte after each; 3 where an array is missing.
READER = """
source "$1" > /dev/null || exit
printf '%s\\0' "${SPEECH:-${DATA:-}}"
for name in "${@:2}"; do
  declare -p "$name" > /dev/null 2>&1 || { echo "$name" >&2; exit 3; }
  declare -n array=$name
  [ "${#array[@]}" -eq 0 ] || printf '%s\\0' "${array[@]}"
done
"""
# What a run starts from or writes has no part in a plan, and need not be there yet.
WITHOUT_PART = ("--finetune-from-model", "--restore-file", "--save-dir", "--finetune-nets", "--new-nets")


class Flags(NamedTuple):
    """What a training is started with.

    Attributes:
        data: the folder of the manifests, empty where the file names none.
        flags: of fairseq-train.
    """

    data: str
    flags: list[str]


def read_flags(path: str | Path, arrays: Sequence[str] = ARRAYS) -> Flags:
    """The flags in the ``arrays`` of a shell file, and the folder in its SPEECH or DATA.

    The file is sourced by bash, as the examples' run.sh does.

    Raises:
        ValueError: bash cannot read it, or an array is not there.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such configuration; give a shell file such as examples/asr/prompts.sh")
    source = str(Path(path).resolve())
    done = subprocess.run(["bash", "-c", READER, "bash", source, *arrays], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        raise ValueError(f"{path}: no array {done.stderr.strip()}; name those with the flags: --arrays COMMON PRETRAIN")
    if done.returncode:
        raise ValueError(f"{path}: bash cannot read it ({done.stderr.strip()}); mend the file")
    data, *flags = done.stdout.split("\0")[:-1]
    return Flags(data, flags)


def training_config(given: Flags) -> DictConfig:
    """fairseq's configuration of a training, as fairseq-train makes it of these flags.

    Raises:
        ValueError: no task, or one that is not planned.
        SystemExit: a flag that fairseq-train does not know, with its own words.
    """
    flags = _with_part(given.flags)
    if "--task" not in flags:
        raise ValueError("the flags name no --task; add it after --: -- --task speecht5_s2t --criterion speecht5_s2t")
    task = flags[len(flags) - flags[::-1].index("--task")]
    planned = sorted(name for name in TASK_REGISTRY if name.removeprefix(PREFIX) in {*JOBS, PRETRAIN})
    if task not in planned:
        raise ValueError(f"--task {task} is not planned; give one of {', '.join(planned)}, with the flags of that task")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hydra, about how fairseq calls it
        parser = options.get_training_parser()
        arguments = options.parse_args_and_arch(parser, input_args=[given.data or "data", *flags])
        return convert_namespace_to_omegaconf(arguments)


def _with_part(flags: Sequence[str]) -> list[str]:
    """Without what has no part in a plan, and without the user dir, which is imported."""
    kept, dropping = [], False
    for flag in flags:
        if dropping:
            dropping = False
            continue
        name, has_value, _ = flag.partition("=")
        if name in (*WITHOUT_PART, "--user-dir"):
            dropping = not has_value
            continue
        kept.append(flag)
    return kept
