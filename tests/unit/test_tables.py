"""Tables on narrow terminals."""

import io

import pytest
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracker.commands.tables.table_printing import print_table

ROWS = (("SM" + "0" * 32, "undelivered", "30003 phone off"), ("SM" + "1" * 32, "sent", ""))


def printed(width: int) -> str:
    """The table on a terminal of that width."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("message", no_wrap=True)
    table.add_column("status", min_width=11)
    table.add_column("problem", overflow="fold")
    for sid, status, problem in ROWS:
        table.add_row(sid, Text(status, "red"), problem)
    output = io.StringIO()
    print_table(Console(file=output, width=width), table)
    return output.getvalue()


def is_table(text: str) -> bool:
    """Whether the headings stand once, above all rows."""
    return sum(line.split()[:1] == ["message"] for line in text.splitlines()) == 1


@pytest.mark.parametrize("width", range(20, 81))
def test_nothing_is_cut_at_any_width(width: int) -> None:
    """No line is longer than the terminal, no value has an ellipsis, and every row is there."""
    text = printed(width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for value in ("undelivered", "30003", "sent"):
        assert value in text


def test_rows_become_lists_below_the_width_that_the_columns_need() -> None:
    """At the narrowest width of the table SIDs are whole; one column less, and each row is lines with the heading first."""
    needed = next(width for width in range(20, 81) if is_table(printed(width)))
    assert all(is_table(printed(width)) for width in range(needed, 81))
    assert needed >= 34 + 11 + len("problem") + 2
    lines = printed(needed).splitlines()
    assert any(ROWS[0][0] in line and "undelivered" in line for line in lines)
    narrow = printed(needed - 1).splitlines()
    assert [line.split()[0] for line in narrow if line.strip()] == [
        *("message", "status", "problem"), *("message", "status"),
    ]  # fmt: skip
