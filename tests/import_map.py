"""``python -m tests.import_map``: writes the map of imports between packages into docs/ARCHITECTURE.md.

The map has one row per package and the packages that it imports directly. Imports that only a type checker sees are left out, as in
the import contracts. ``--check`` writes nothing; the exit code is 1 if the map in the document is out of date.
"""

import sys
from collections import defaultdict
from pathlib import Path

import grimp

DOCUMENT = Path(__file__).parents[1] / "docs" / "ARCHITECTURE.md"
BEGIN = "<!-- The map of imports is written by `make map`. -->\n"
END = "<!-- End of the map of imports. -->\n"

SHARED = "tracker/*.py"
"""The modules directly in ``tracker``: settings, logging, errors. They import no package."""

ENTRY_POINTS = frozenset({"tracker.cli", "tracker.__main__"})
"""Modules directly in ``tracker`` that start commands, and belong to them in the map."""

ORDER = (
    "tracker/commands", "tracker/supervisor", "tracker/simulate", "tracker/web", "tracker/http", "tracker/queries", "projections/rebuild",
    "projections", "projections/fold", "tracker/log", "tracker/log/spool", "tracker/evidence", "tracker/postgres", "tracker/twilio", SHARED,
)  # fmt: skip
"""Packages as the document orders them, from those that nothing imports. Others follow by name."""

FOLDED_DEPTH = {"tracker.log": 3, "projections": 2}
"""Packages whose own packages are rows of the map: their number of name parts."""


def package_of(module: str, packages: frozenset[str]) -> str:
    """The row of a module, as a path from the root of the repository. packages: the names of all packages."""
    if module in ENTRY_POINTS:
        return "tracker/commands"
    parts = module.split(".")
    depth = max((FOLDED_DEPTH[name] for name in FOLDED_DEPTH if f"{module}.".startswith(f"{name}.")), default=2)
    while parts and (len(parts) > depth or ".".join(parts) not in packages):
        parts.pop()
    return SHARED if parts == ["tracker"] else "/".join(parts)


def find_imports() -> dict[str, set[str]]:
    """By package, the other packages that it imports directly."""
    graph = grimp.build_graph("tracker", "projections", exclude_type_checking_imports=True, cache_dir=None)
    packages = frozenset(name for name in graph.modules if graph.find_children(name))
    imports: defaultdict[str, set[str]] = defaultdict(set)
    for module in graph.modules:
        importer = package_of(module, packages)
        imports[importer].update(
            imported
            for each in graph.find_modules_directly_imported_by(module)
            if (imported := package_of(each, packages)) != importer
        )
    return dict(imports)


def render_map() -> str:
    """The map as a Markdown table."""
    imports = find_imports()

    def place(package: str) -> tuple[int, str]:
        return (ORDER.index(package) if package in ORDER else len(ORDER), package)

    lines = ["| package | imports |", "|---|---|"]
    for package in sorted(imports, key=place):
        names = ", ".join(f"`{name}`" for name in sorted(imports[package], key=place))
        lines.append(f"| `{package}` | {names or 'none'} |")
    return "\n".join(lines) + "\n"


def replace_map(text: str) -> str:
    """The document with the map as it is now. Raises ValueError if a mark is missing."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    if not tail and END not in rest:
        raise ValueError(f"{DOCUMENT} has no marks around the map of imports")
    return f"{head}{BEGIN}\n{render_map()}\n{END}{tail}"


def main(arguments: list[str]) -> int:
    """Exit code: 0, or with ``--check`` 1 if the map is out of date."""
    text = DOCUMENT.read_text("utf-8")
    wanted = replace_map(text)
    if arguments == ["--check"]:
        return int(text != wanted)
    DOCUMENT.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
