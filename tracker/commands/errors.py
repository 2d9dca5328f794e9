"""``tracker errors``: what Twilio's error codes mean and what to do about them, without a browser or a database."""

# pyright: reportUnknownMemberType=false
# The decorators of rich_click leave the type parameter of click's ParamType open.

import reprlib

import msgspec
import rich_click as click
from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tracker.commands.tables.table_printing import print_table
from tracker.twilio.error_codes import FAILED_FEE_USD, ErrorCode, Fault, all_codes, find, page_url


@click.command(name="errors")
@click.argument("codes", metavar="[CODE]...", nargs=-1)
@click.option("--fault", type=click.Choice([fault.value for fault in Fault]), help="Only codes of this class of fault.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def command(codes: tuple[str, ...], fault: str | None, as_json: bool) -> None:
    """Explain error codes: label, advice, fault, fee, link.

    Without a CODE, list the whole dictionary. Exits with 1 if a CODE is not in it.

    Reads a file of this program, neither settings nor a database. Prints panels, a table, or a JSON array.

    Example: tracker errors 30003 30007
    """
    wanted = [code.strip() for code in codes]
    unknown = [code for code in wanted if find(code) is None]
    entries = _select(wanted, fault)
    if as_json:
        click.echo(_as_json(entries))
    elif wanted:
        _print_panels(entries)
    else:
        _print_table(entries)
    for code in unknown:
        click.echo(_complaint(code), err=True)
    if unknown:
        raise SystemExit(1)
    if not entries:
        click.echo(f"None of these codes is of fault {fault}; leave out --fault to see them.", err=True)


def _select(codes: list[str], fault: str | None) -> list[ErrorCode]:
    """The entries of those codes, in the order asked and each once, or of all codes if none is named.

    With a fault, only those of that fault. Unknown codes are left out.
    """
    named = [entry for code in dict.fromkeys(codes) if (entry := find(code)) is not None]
    entries = named if codes else all_codes()
    return [entry for entry in entries if fault is None or entry.fault == fault]


def _as_json(entries: list[ErrorCode]) -> str:
    """An array of objects: the fields of ``ErrorCode`` and ``url``."""
    objects = [msgspec.structs.asdict(entry) | {"url": entry.url} for entry in entries]
    return msgspec.json.format(msgspec.json.encode(objects), indent=2).decode()


def _print_panels(entries: list[ErrorCode]) -> None:
    console = Console()
    for entry in entries:
        console.print(_panel(entry))


def _panel(entry: ErrorCode) -> Panel:
    """Everything about one code. The link stands on one line, so that it can be copied."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("advice", Text(entry.advice))
    grid.add_row("fault", Text(entry.fault))
    grid.add_row("failed fee", Text(_fee(entry)))
    grid.add_row("link", Text(entry.url, style=f"link {entry.url}"))
    return Panel(grid, title=Text(f"{entry.code} {entry.label}", style="bold"), title_align="left")


def _print_table(entries: list[ErrorCode]) -> None:
    """One line a code, within 80 columns; the advice is left to the panel."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("code", "label", "fault", "failed fee"):
        table.add_column(heading, no_wrap=True)
    for entry in entries:
        table.add_row(entry.code, Text(entry.label), entry.fault, _fee(entry))
    print_table(Console(), table)


def _fee(entry: ErrorCode) -> str:
    return "exempt" if entry.fee_exempt else f"${FAILED_FEE_USD}"


def _complaint(code: str) -> str:
    """What to do about a code that the dictionary does not have. Odd text is shown cut short and with escapes."""
    if code.isascii() and code.isdigit() and len(code) == 5:  # noqa: PLR2004
        return f"{code} is not in our dictionary; Twilio may have added it since. See {page_url(code)}"
    return f"{reprlib.repr(code)} is not an error code: give one of five digits, such as 30003, or none for a list."
