"""Imports point one way. This reads the imports themselves, so that a wrong one is named by file and line."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "speecht5_fairseq"

# Each room may import the rooms before its own level; "together" says whether rooms of one level may know each other.
LEVELS = (
    (("constants", "outputs", "ranges"), "together"),
    (("modules", "losses", "data", "optim"), "apart"),
    (("models", "generation"), "together"),
    (("criterions",), "apart"),
    (("training",), "apart"),
    (("tasks",), "apart"),
    (("scoring", "convert", "average", "inspect", "plan"), "apart"),
    (("interface", "report"), "apart"),
    (("codes", "web"), "apart"),
)
ROOMS = [room for rooms, _ in LEVELS for room in rooms]
OUTSIDE = ("manifest_tools", "examples", "benchmarks", "tests")  # they import the package, never the other way round
FRAMEWORK = ("fairseq.tasks", "fairseq.models", "fairseq.criterions", "fairseq.dataclass", "fairseq.registry")


def allowed_rooms(room: str) -> set[str]:
    """The rooms that `room` may import from."""
    earlier: set[str] = set()
    for rooms, manner in LEVELS:
        if room in rooms:
            return earlier | (set(rooms) if manner == "together" else {room})
        earlier |= set(rooms)
    raise AssertionError(f"{room} is in no level: give the new room its level in {Path(__file__).name}")


def imported_names(path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of every import in a file, those inside functions too.

    `from x import y` gives x.y: y may be a module. Relative imports are made absolute from the file's place.
    """
    parts = path.relative_to(ROOT).with_suffix("").parts  # a module and a package's __init__ both drop their last part
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) if node.level else ""
            prefix = ".".join(part for part in (base, node.module) if part)
            yield from ((node.lineno, f"{prefix}.{alias.name}") for alias in node.names)


def lines_naming_package(path: Path) -> Iterator[int]:
    """Lines that import this package by its name: --user-dir may import the folder under another one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        if any(name.split(".")[0] == PACKAGE for name in names):
            yield node.lineno


def files_of(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / PACKAGE).with_suffix("").parts[0]


PACKAGE_FILES = [path for path in files_of(PACKAGE) if path != ROOT / PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", [path for path in PACKAGE_FILES if room_of(path) != "doctor"], ids=relative)
def test_rooms_import_only_earlier_rooms(path: Path) -> None:
    allowed = allowed_rooms(room_of(path))
    wrong = []
    for line, name in imported_names(path):
        parts = name.split(".")
        if parts[0] == PACKAGE and parts[1:2] and parts[1] not in allowed:
            wrong.append(f"{relative(path)}:{line} imports {name}; {room_of(path)} may import {sorted(allowed)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=relative)
def test_package_imports_itself_relatively_and_nothing_around_it(path: Path) -> None:
    wrong = [f"{relative(path)}:{line} names {PACKAGE}: make it relative" for line in lines_naming_package(path)]
    for line, name in imported_names(path):
        if name.split(".")[0] in OUTSIDE:
            wrong.append(f"{relative(path)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", files_of(f"{PACKAGE}/modules") + files_of(f"{PACKAGE}/losses"), ids=relative)
def test_modules_and_losses_know_nothing_of_the_framework(path: Path) -> None:
    wrong = [
        f"{relative(path)}:{line} imports {name}" for line, name in imported_names(path) if name.startswith(FRAMEWORK)
    ]
    assert not wrong, "\n".join(wrong)


def test_doctor_imports_the_standard_library_only() -> None:
    tops = {name.split(".")[0] for _, name in imported_names(ROOT / PACKAGE / "doctor.py")}
    assert tops <= set(sys.stdlib_module_names), tops - set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", files_of("manifest_tools"), ids=relative)
def test_manifest_tools_do_not_import_what_uses_them(path: Path) -> None:
    wrong = [
        f"{relative(path)}:{line} imports {name}"
        for line, name in imported_names(path)
        if name.split(".")[0] in ("examples", "benchmarks", "tests")
    ]
    assert not wrong, "\n".join(wrong)


def test_every_room_has_a_level_and_no_level_names_a_missing_room() -> None:
    present = {room_of(path) for path in PACKAGE_FILES} - {"doctor"}
    assert present == set(ROOMS)


def test_names_are_read_as_python_reads_them() -> None:
    """The reader above, held against a file whose imports are known: a wrong reader would let everything pass."""
    names = {name for _, name in imported_names(ROOT / PACKAGE / "__init__.py")}
    assert {f"{PACKAGE}.tasks", f"{PACKAGE}.models", f"{PACKAGE}.criterions"} <= names
