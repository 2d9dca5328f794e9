"""Figures that tests measure, shown as a table at the end of every run."""

from collections.abc import Callable

import pytest

from tests.durability import chance

PROPERTY = "figure"

Figures = Callable[[str, object], None]
"""Notes a figure: what was measured, and its value."""


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """They travel with the test's report, so that they arrive from other processes too."""

    def note(what: str, value: object) -> None:
        request.node.user_properties.append((PROPERTY, (what, str(value))))

    return note


def show(terminal: pytest.TerminalReporter) -> None:
    """Print the table, when there are figures."""
    rows = [
        tuple(value)
        for outcome in ("passed", "failed")
        for report in terminal.stats.get(outcome, [])
        for name, value in report.user_properties
        if name == PROPERTY
    ]
    if rows:
        terminal.section("figures")
        width = max(len(what) for what, _ in rows)
        for what, value in sorted(rows):
            terminal.line(f"{what:{width}}  {value}")
        terminal.line(f"{chance.VARIABLE}={chance.seed()} repeats what was left to chance")
