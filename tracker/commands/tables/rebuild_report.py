"""What ``tracker rebuild`` prints: what was rebuilt, and what differed."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import rich_click as click

from projections.rebuild.comparison import Example, Rebuilt, TableDifferences
from tracker.logging_setup import mask


class Report(msgspec.Struct, frozen=True):
    """One run."""

    projections: Sequence[Rebuilt]
    events: int
    """Taken in, by one projection or several together."""
    seconds: float
    """From the start to the last switch."""
    filling_seconds: float
    """The part of it in which events were taken in; after that tables are indexed, compared and switched."""


def show(report: Report) -> None:
    """Print it for people. Phone numbers are cut short."""
    for line in _lines(report):
        click.echo(line)


def _lines(report: Report) -> Iterator[str]:
    for result in report.projections:
        yield f"{result.projection}: {_verdict(result)}{'; switched' if result.switched else ''}"
        for table in result.tables if result.live_version is not None else []:
            if table.rows:
                yield from _differences(table)
    rate = report.events / report.filling_seconds if report.filling_seconds else 0
    yield (
        f"{report.events:,} events taken in, in {report.filling_seconds:,.1f} s ({rate:,.0f}/s); "
        f"{report.seconds:,.1f} s in all"
    )


def _verdict(result: Rebuilt) -> str:
    """Whether the live tables were right."""
    version = f"version {result.version}, position {result.position:,}"
    if result.live_version is None:
        return f"{version}; there was none before"
    if result.live_version != result.version or result.live_position != result.position:
        stood = f"version {result.live_version}, position {result.live_position:,}"
        return f"{version}; the live one stood at {stood}; {result.rows:,} rows differ"
    return f"{version}; no differences" if result.rows == 0 else f"{version}; {result.rows:,} rows DIFFER"


def _differences(table: TableDifferences) -> Iterator[str]:
    yield f"  {table.table}: {table.missing:,} missing from the new one, {table.added:,} added, {table.different:,} different"
    if table.columns:
        yield "    " + ", ".join(f"{name}: {rows:,}" for name, rows in sorted(table.columns.items()))
    for kind, rows in sorted(table.kinds.items(), key=lambda each: (each[1], each[0])):
        yield f"    {rows:,} rows: {kind}"
    for example in table.examples:
        yield f"    {_values(example.key)}  {_change(example)}"


def _change(example: Example) -> str:
    if example.old is None:
        return "added"
    if example.new is None:
        return "missing"
    return "; ".join(f"{name} {_value(value)} → {_value(example.new.get(name))}" for name, value in example.old.items())


def _values(values: dict[str, Any]) -> str:
    return " ".join(_value(value) for value in values.values())


def _value(value: object) -> str:
    return mask(msgspec.json.encode(value).decode() if isinstance(value, dict | list) else str(value))
