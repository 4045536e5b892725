"""Where the paths of a manifest may lead: below its audio root, by what is written, and to regular files alone.

A manifest may come from somebody else, and a row with ``../../other/secret.wav`` would be read, and packed, like any
other. So a path that is absolute (and not below the root) or that has ``..`` in it is refused, members of archives
too. Two ways out stay open, both of the owner's own making: a symbolic link below the root is followed, for corpora are
linked into place; and a speaker vector, which our tools write beside the corpus, may stand anywhere if its name ends in
``.npy``: of such a file nothing but 512 numbers is ever read.
"""

from __future__ import annotations

import os
import re
import stat

OPTION = "--allow-outside-root"  # of the tasks and of manifest_tools
VECTOR = ".npy"  # the end of a speaker vector's name
LONGEST = 8192  # characters of a path: systems allow 4096, and a member's name may follow
FOLDER = "a folder"  # of what ``irregular`` says
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SEPARATORS = re.compile(r"[/:]")  # ":" stands between an archive and its member
_KINDS = (
    (stat.S_ISDIR, FOLDER),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def leaves_root(path: str, root: str) -> bool:
    """Whether a path of a manifest, as it is written, may lead out of ``root``."""
    if ".." in path and ".." in _SEPARATORS.split(path):
        return True
    if not os.path.isabs(path):
        return False
    base = os.path.normpath(root)
    return not os.path.normpath(path).startswith(base.rstrip(os.sep) + os.sep)


def path_problem(path: str, root: str, *, vector: bool, outside: bool = False) -> tuple[str, str] | None:
    """What is wrong with a path of a manifest, and the mend; None for one that may be read.

    Args:
        vector: of a speaker vector.
        outside: it may lead out of the root.
    """
    if len(path) > LONGEST:
        return f"a path of {len(path):,} characters ({path[:40]!r}...)", "correct the row"
    if not path.isprintable() and _CONTROL.search(path):
        return f"a control character in a path ({path!r})", "rename the file"
    if not outside and leaves_root(path, root) and not (vector and path.endswith(VECTOR)):
        mend = (
            "write it relative to the audio root and without '..' (the first line may name a folder further up), or "
            f"if the manifest is to be trusted, give {OPTION}"
        )
        return f"the path leads out of the audio root {root} ({path!r})", mend
    return None


def irregular(path: str | os.PathLike[str]) -> str | None:
    """What stands there where it is no regular file, "a pipe" say; None for a file, and where nothing is.

    Opening a pipe waits for whoever writes to it, and a device may never end.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None
    return None if stat.S_ISREG(mode) else next((name for is_kind, name in _KINDS if is_kind(mode)), "no regular file")
