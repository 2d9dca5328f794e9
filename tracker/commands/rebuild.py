"""``tracker rebuild``: compute projections again from the log, compare, and switch."""

import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Self

import msgspec
import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from projections.projection import Projection
from projections.rebuild.comparison import Rebuilt
from projections.rebuild.rebuild import Rebuild, rebuilding
from projections.registry import PROJECTIONS
from tracker.commands.tables.rebuild_report import Report, show
from tracker.postgres.embedded.server import open_database
from tracker.postgres.roles import conninfo
from tracker.processes import NICENESS
from tracker.settings import load_settings


@click.command("rebuild")
@click.argument(
    "names", nargs=-1, metavar="[NAME]...", type=click.Choice([projection.name for projection in PROJECTIONS])
)
@click.option("--check", is_flag=True, help="Compare only: the live tables stay. Exit code 1: there are differences.")
@click.option("--restart", is_flag=True, help="Begin anew instead of where an interrupted rebuild stopped.")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="Processes that fold a long log.  [default: one a processor, up to 4]",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was rebuilt and what differed as JSON.")
def command(names: tuple[str, ...], check: bool, restart: bool, processes: int | None, as_json: bool) -> None:
    """Compute projections again from the log, beside the live ones, compare, and switch.

    NAME is message_state, metric_counters or delivery_stats; without one, all are rebuilt. Callbacks are received and
    projections kept meanwhile. A rebuild that was interrupted goes on where it stopped.

    Reads the events, as the user who owns the tables. Writes new tables beside the live ones, then swaps them; with
    --check, it writes nothing that stays.

    Example: tracker rebuild message_state --check
    """
    # Whatever answers callbacks goes first.
    os.nice(NICENESS)
    settings = load_settings()
    projections = [projection for projection in PROJECTIONS if not names or projection.name in names]
    url = settings.database_url.get_secret_value() if settings.database_url else None
    with open_database(url, settings.data_dir) as database_url, _Meter(Console(stderr=True)) as meter:
        info = conninfo(database_url, role=None, application="tracker-rebuild")
        with rebuilding(info, projections, meter.on_progress, processes=processes) as rebuild:
            results = _run(rebuild, projections, meter, check=check, restart=restart)
    report = Report(results, meter.events, round(meter.seconds, 3), round(rebuild.filling_seconds, 3))
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        show(report)
    if check and any(result.rows for result in results):
        sys.exit(1)


def _run(
    rebuild: Rebuild, projections: Sequence[Projection[Any]], meter: "_Meter", *, check: bool, restart: bool
) -> list[Rebuilt]:
    """Fill, then compare and switch one projection after the other."""
    start = rebuild.begin(restart=restart)
    if start:
        meter.say(f"Going on from position {start:,}, where a rebuild was interrupted.")
    try:
        rebuild.fill()
        results: list[Rebuilt] = []
        for projection in projections:
            meter.describe(f"Comparing {projection.name}")
            result = rebuild.compare(projection)
            if not check:
                rebuild.switch(projection)
            results.append(msgspec.structs.replace(result, switched=not check))
    except KeyboardInterrupt:
        meter.say("Interrupted. What was filled is kept; the next rebuild goes on from there.")
        raise
    if check:
        rebuild.discard()
    return results


class _Meter:
    """A progress bar on a terminal, and the figures of the run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("Events", total=None)
        self._started = time.monotonic()
        self.events = 0
        """Taken in so far."""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def on_progress(self, events: int, position: int, last: int) -> None:
        """Show how far it is."""
        self.events += events
        self._progress.update(self._task, completed=position, total=last)

    def describe(self, stage: str) -> None:
        """Say what is being done now."""
        self._progress.update(self._task, description=stage)

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(text)


class _RateColumn(ProgressColumn):
    """Events a second."""

    def render(self, task: Task) -> Text:
        """Empty until it is known."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")
