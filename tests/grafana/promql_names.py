"""The series and labels that a PromQL expression names, found without a parser: enough to check that they exist."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
MATCHERS: Final = re.compile(r"(?P<name>[A-Za-z_:][\w:]*)?\s*\{(?P<matchers>[^}]*)\}")
MATCHER: Final = re.compile(r'(?P<label>\w+)\s*(?:=~|!~|!=|=)\s*(?P<value>"(?:[^"\\]|\\.)*")')
GROUPING: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\((?P<labels>[^)]*)\)")
DURATION: Final = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
WORD: Final = re.compile(r"(?<![\w:.])(?P<word>[A-Za-z_:][\w:]*)(?![\w:]|\s*\()")
KEYWORDS: Final = frozenset(
    {"and", "or", "unless", "bool", "by", "on", "without", "ignoring", "group_left", "group_right", "offset"}
)


@dataclass(frozen=True)
class Selector:
    """A series with the labels that the expression asks of it. pattern: the name is a regular expression."""

    name: str
    labels: frozenset[str]
    pattern: bool = False


def selectors(expr: str) -> Iterator[Selector]:
    """Every series that the expression names, with the labels it is selected by."""
    for match in MATCHERS.finditer(expr):
        found = {matcher["label"]: matcher["value"][1:-1] for matcher in MATCHER.finditer(match["matchers"])}
        labels = frozenset(found) - {"__name__"}
        if match["name"]:
            yield Selector(match["name"], labels)
        else:
            yield Selector(found["__name__"], labels, pattern=True)
    bare = STRING.sub('""', MATCHERS.sub(" ", expr))
    for match in WORD.finditer(DURATION.sub(" ", GROUPING.sub(" ", bare))):
        if match["word"] not in KEYWORDS:
            yield Selector(match["word"], frozenset())


def grouped_labels(expr: str) -> set[str]:
    """The labels that the expression aggregates by or matches on."""
    lists = (match["labels"] for match in GROUPING.finditer(expr))
    return {label.strip() for labels in lists for label in labels.split(",") if label.strip()}
