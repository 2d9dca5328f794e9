"""The documents name what exists: files, folders, modules, links and commands. The map of imports is current."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.import_map import BEGIN, DOCUMENT, END, replace_map

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in (
        DOCUMENT,
        ROOT / "CONTRIBUTING.md",
        ROOT / "README.md",
        ROOT / "SECURITY.md",
        ROOT / "projections" / "README.md",
        *(ROOT / "docs" / "adr").glob("*.md"),
    )
)
FOLDERS = ("tracker", "projections", "sql", "grafana", "tests", "docs", "deploy", ".ci", ".github")

_PATH = re.compile(rf"(?<![\w./~-])((?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*\w/?|[\w/-]+/\*\.\w+)(?:::(\w+))?")
_MODULE = re.compile(r"(?<![\w./-])((?:tracker|projections|tests)(?:\.[a-z_]+)+)(?![\w/])")
_LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
_FENCE = re.compile(r"^```(?!mermaid)[a-z]*\n.*?^```$", re.MULTILINE | re.DOTALL)
_EXAMPLE = re.compile(r"daily_volumes|NNNN|NAME|0000")
"""Names of files that a reader makes while following an example."""


def prose(document: str) -> str:
    """The text of a document without its examples; diagrams stay."""
    return _FENCE.sub("", (ROOT / document).read_text("utf-8"))


def missing_paths(text: str) -> Iterator[str]:
    """Paths that look like ours and do not exist. ``PATH::NAME`` also claims that the file defines NAME."""
    for path, name in _PATH.findall(text):
        if _EXAMPLE.search(path):
            continue
        candidates = [ROOT / path, ROOT / f"{path}.py"]
        if "*" in path:
            if not any(ROOT.glob(path)):
                yield path
        elif not any(each.exists() for each in candidates) or (
            name
            and not re.search(
                rf"^(?:def|class|async def) {name}\b|^{name}\b", (ROOT / path).read_text("utf-8"), re.MULTILINE
            )
        ):
            yield f"{path}::{name}" if name else path


def missing_modules(text: str) -> Iterator[str]:
    """Dotted names of ours that are neither a module nor an attribute's module."""
    for name in _MODULE.findall(text):
        try:
            found = importlib.util.find_spec(name) is not None
        except ModuleNotFoundError:
            found = False
        if not found:
            yield name


def anchors(path: Path) -> set[str]:
    """Anchors of the headings of a document, as hosting sites make them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_and_module_exists(document: str) -> None:
    """A path that a document names is a file, a folder or a module of the repository."""
    text = prose(document)
    assert [*missing_paths(text), *missing_modules(text)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    """A relative link names a file, and its anchor a heading of that file."""
    for link in _LINK.findall(prose(document)):
        name, _, anchor = link.partition("#")
        target = (ROOT / document).parent / name if name else ROOT / document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_architecture_names_every_package() -> None:
    """A reader finds each package in the text or the diagram, not only in the map that a command writes."""
    head, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    text = head + rest.partition(END)[2]
    packages = [
        str(path.parent.relative_to(ROOT))
        for root in ("tracker", "projections")
        for path in (ROOT / root).glob("**/__init__.py")
        if len(path.relative_to(ROOT).parts) <= 3
    ]
    assert len(packages) > 5
    assert [name for name in sorted(packages) if f"{name}/" not in text and f"`{name}`" not in text] == []


def test_the_map_of_imports_is_current() -> None:
    """`make map` would change nothing."""
    text = DOCUMENT.read_text("utf-8")
    assert text == replace_map(text)


def test_every_table_and_role_of_the_architecture_exists() -> None:
    """Names of tables and roles in it are those of the schema."""
    schema = (ROOT / "sql" / "schema.sql").read_text("utf-8")
    names = set(re.findall(r"\[\((\w+)\)\]", prose("docs/ARCHITECTURE.md")))
    names |= set(re.findall(r"`(tracker_\w+)`", prose("docs/ARCHITECTURE.md")))
    assert {"events", "message_state", "tracker_service"} <= names
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", schema)] == []


def test_the_tree_in_contributing_is_the_repository() -> None:
    """Every folder in the tree of CONTRIBUTING.md exists, and every package and folder at the top is in it."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    [tree] = re.findall(r"```\n(tracker/\n.*?)```", text, re.DOTALL)
    parent = ""
    named: set[str] = set()
    for line in tree.splitlines():
        indent, names = re.findall(r"^( *)((?:[\w.-]+/(?: |$))*)", line)[0]
        for name in names.split():
            path = f"{parent}{name}" if indent else name
            named.add(path.rstrip("/"))
        if not indent and names:
            parent = names.split()[0]
    assert [path for path in sorted(named) if not (ROOT / path).is_dir()] == []
    packages = {
        str(path.parent.relative_to(ROOT))
        for root in ("tracker", "projections")
        for path in (ROOT / root).glob("*/__init__.py")
    }
    top = {"tracker", "projections", "sql", "grafana", "docs", "deploy", "tests"}
    assert sorted((packages | top) - named) == []


def test_every_record_is_in_the_index() -> None:
    """docs/adr/README.md lists each decision record by its number and its title."""
    index = (ROOT / "docs" / "adr" / "README.md").read_text("utf-8")
    for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"):
        title = path.read_text("utf-8").splitlines()[0].partition(": ")[2]
        assert f"| [{path.name[:4]}]({path.name}) | {title} |" in index


def test_records_and_code_name_each_other() -> None:
    """A record that the code names exists, and each record is named by the code that it explains."""
    records = {path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md")}
    named = {
        name
        for folder in ("tracker", "projections", "grafana")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"docs/adr/([\w-]+\.md)", path.read_text("utf-8"))
    }
    assert named == records


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_exists(document: str) -> None:
    """A `make` command that a document names is a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = set(re.findall(r"`make ([a-z]+)", (ROOT / document).read_text("utf-8")))
    assert [name for name in sorted(named) if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
