"""Tables on terminals of any width: where the columns do not fit, each row becomes a list of names and values."""

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_table(console: Console, table: Table) -> None:
    """Print a table whose cells are texts; row by row, a line per cell, where the console is narrower than the table must be.

    Empty cells are left out of the lines.
    """
    for column in table.columns:
        if column.no_wrap:
            # Rich would rather cut such a column than say that it needs more.
            column.min_width = max(map(_width, [column.header, *column.cells]))
    if console.measure(table, options=console.options.update(max_width=10_000)).minimum <= console.width:
        console.print(table)
        return
    headings = [str(column.header) for column in table.columns]
    for row in zip(*(column.cells for column in table.columns), strict=True):
        lines = Table.grid(padding=(0, 2, 0, 0))
        lines.add_column(style="bold", overflow="fold")
        lines.add_column(overflow="fold")
        for heading, cell in zip(headings, row, strict=True):
            if str(cell):
                lines.add_row(Text(heading), cell)
        console.print(lines)
        console.print()


def _width(cell: object) -> int:
    return cell_len(str(cell))
