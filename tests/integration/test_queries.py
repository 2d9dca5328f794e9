"""The SQL files: each is one statement that the migrated database takes, is explained, and is used."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.pq import ExecStatus

from tracker.postgres.sql_files import SQL_DIR, query

ROOT = SQL_DIR.parent
FILES = sorted((SQL_DIR / "queries").glob("*.sql"))
NAMES = [path.stem for path in FILES]

PLACEHOLDER = re.compile(r"%\((\w+)\)[sbt]")
SQL_TEXT = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CREATE|ALTER|DROP|LISTEN|TRUNCATE|MERGE INTO|SET)\s+[\w\"]",
    re.ASCII,
)


def numbered(text: str) -> str:
    """The statement with psycopg's named placeholders as PostgreSQL numbers them."""
    names = list(dict.fromkeys(PLACEHOLDER.findall(text)))
    return PLACEHOLDER.sub(lambda match: f"${names.index(match[1]) + 1}", text).replace("%%", "%")


@cache
def modules() -> dict[Path, ast.Module]:
    """The parsed source of the program."""
    paths = [path for package in ("tracker", "projections") for path in (ROOT / package).rglob("*.py")]
    return {path: ast.parse(path.read_text("utf-8")) for path in paths}


def strings(module: ast.Module) -> Iterator[str]:
    """All string constants that are no docstrings."""
    documentation = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def queries_of(module: ast.Module) -> Iterator[str]:
    """Names that stand in a call of ``query``."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "query":
            yield from (str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))


@pytest.mark.parametrize("name", NAMES)
def test_a_query_fits_the_migrated_database(undone: psycopg.Connection[Any], name: str) -> None:
    """The server parses it, finds what it names, and can tell the types of its parameters. It is one statement."""
    statement = numbered(query(name).decode()).encode()
    result = undone.pgconn.prepare(b"", statement)
    assert result.status == ExecStatus.COMMAND_OK, result.error_message.decode()


@pytest.mark.parametrize("name", NAMES)
def test_a_query_is_explained(name: str) -> None:
    """On top: a sentence of what it does, every parameter by name (or what a batch's columns are), and what it returns."""
    header = re.match(r"(-- [^\n]*\n)+", query(name).decode())
    assert header is not None
    explanation = header[0]
    parameters = set(PLACEHOLDER.findall(query(name).decode()))
    unnamed = {parameter for parameter in parameters if not re.search(rf"\b{parameter}\b", explanation)}
    assert not unnamed or "arrays of equal length" in explanation, unnamed
    assert explanation.startswith("-- ")
    assert explanation[3].isupper()
    assert "Returns" in explanation or "returns" in explanation


def test_every_query_is_used() -> None:
    """A file that no code names is a leftover."""
    named = {text for module in modules().values() for text in strings(module)}
    assert [name for name in NAMES if name not in named] == []


def test_every_used_query_is_there() -> None:
    """A name that is spelt wrong would be found at three in the morning."""
    used = {(path.name, name) for path, module in modules().items() for name in queries_of(module)}
    assert used
    assert [(file, name) for file, name in used if name not in NAMES] == []


def test_there_is_no_sql_in_the_program() -> None:
    """Statements live in files, where they are linted, prepared and explained."""
    found = [
        (str(path.relative_to(ROOT)), text)
        for path, module in modules().items()
        for text in strings(module)
        if SQL_TEXT.match(text)
    ]
    assert found == []


def test_an_unknown_query_is_an_error() -> None:
    """Said by the file that is missing."""
    with pytest.raises(FileNotFoundError, match="no_such_query"):
        query("no_such_query")
