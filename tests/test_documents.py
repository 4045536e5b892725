"""The documents: what they link to and the modules that their commands run are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for folder in ("", "docs", "examples/*", "benchmarks", "tests/*")
    for path in ROOT.glob(f"{folder}/*.md".lstrip("/"))
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
MODULE = re.compile(r"python -m ((?:speecht5_fairseq|manifest_tools|benchmarks)(?:\.[a-z0-9_]+)*)(?![.\w])")
FILE = re.compile(
    r"(?<![\w./-])((?:tests|speecht5_fairseq|manifest_tools|benchmarks|examples)/[\w./-]+\.(?:py|sh|md|yaml))"
)


def anchors(path: Path) -> set[str]:
    """Of a document's headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_to_files_and_headings(document):
    path = ROOT / document
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=str)
def test_the_files_that_are_named_are_there(document):
    named = set(FILE.findall((ROOT / document).read_text(encoding="utf-8")))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_modules_that_commands_run_are_there():
    texts = "".join((ROOT / document).read_text(encoding="utf-8") for document in DOCUMENTS)
    named = set(MODULE.findall(texts))
    assert len(named) > 30
    places = {name: ROOT.joinpath(*name.split(".")) for name in named}
    assert [name for name, path in places.items() if not runs(path)] == []


def runs(path: Path) -> bool:
    """It is a module, or a package with a program."""
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def test_the_readme_fits_a_sitting_and_names_every_document():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count("\n") < 250
    assert [path.name for path in ROOT.glob("docs/*.md") if f"(docs/{path.name})" not in readme] == []
