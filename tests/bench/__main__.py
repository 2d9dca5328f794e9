"""``python -m tests.bench``: measure, print, keep as JSON; exit 1: a target was missed, 2: it could not be measured."""

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import rich_click as click
import structlog
from rich.console import Console

from tests.bench.compare import Wanted, compare
from tests.bench.history import measure_history
from tests.bench.machine import describe_machine
from tests.bench.progress import Progress
from tests.bench.rebuild import measure_rebuild
from tests.bench.report import as_json, markdown, print_report
from tests.bench.results import Results, verdicts
from tests.bench.seed import seeded_log
from tests.bench.servers import bench_directory
from tests.bench.wrk import BenchError, require_wrk
from tracker.errors import TrackerError

PARTS: Final = ("compare", "rebuild", "history")

BUSY: Final = 0.5
"""A load average from which on something else must be running."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--only", type=click.Choice(PARTS), multiple=True, help="Measure this part; may be repeated.  [default: all]"
)
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Rounds of the comparison.")
@click.option("--seconds", type=click.IntRange(1, 600), default=5, show_default=True, help="Seconds of each load.")
@click.option(
    "--connections", type=click.IntRange(1, 1000), default=512, show_default=True, help="Connections that stay open."
)
@click.option("--quick", is_flag=True, help="Two rounds of two seconds, a log of 100,000 events: a first impression.")
@click.option(
    "--long", "is_long", is_flag=True, help="Ask for histories among ten million events too; needs 20 GB of disk."
)
@click.option(
    "--profile",
    type=click.Path(path_type=Path),
    help="Put flame graphs of the tracker's processes there; slows them down.",
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), default=Path("bench-results.json"), show_default=True
)
@click.option("--markdown", "markdown_path", type=click.Path(path_type=Path), help="Put the tables there as Markdown.")
def main(
    only: tuple[str, ...],
    rounds: int,
    seconds: int,
    connections: int,
    quick: bool,
    is_long: bool,
    profile: Path | None,
    json_path: Path,
    markdown_path: Path | None,
) -> None:
    """Compare the webhook with a raw route, a handler that does nothing and the usual way; time rebuilds, histories."""
    wanted = Wanted(2, 2, connections, profile) if quick else Wanted(rounds, seconds, connections, profile)
    sizes = [10_000, 100_000 if quick else 1_000_000] + ([10_000_000] if is_long else [])
    errors = Console(stderr=True)
    # What a migration or a connection says of itself is no part of the report.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        results = _measure(set(only or PARTS), wanted, sizes, quick, Progress(errors), errors)
    except (BenchError, TrackerError) as error:
        errors.print(f"The benchmark could not be carried out: {error}", markup=False)
        sys.exit(2)
    json_path.write_bytes(as_json(results))
    if markdown_path:
        markdown_path.write_text(markdown(results), encoding="utf-8")
    print_report(results, Console(width=None if sys.stdout.isatty() else 160))
    sys.exit(0 if all(verdict.holds for verdict in verdicts(results)) else 1)


def _measure(
    parts: set[str], wanted: Wanted, sizes: list[int], quick: bool, progress: Progress, errors: Console
) -> Results:
    if "compare" in parts:
        require_wrk()
    with bench_directory() as directory:
        results = Results(datetime.now(UTC), describe_machine(directory), quick)
        if results.machine.load_average > BUSY:
            errors.print("Something else runs on this machine (see the load average): the figures are provisional.")
        if "compare" in parts:
            results.comparison = compare(wanted, directory, progress)
        if parts & {"rebuild", "history"}:
            _measure_log(parts, sizes, directory, results, progress)
    return results


def _measure_log(parts: set[str], sizes: list[int], directory: Path, results: Results, progress: Progress) -> None:
    """The parts that need a large log, on one that grows. The second size is the one that is rebuilt."""
    with seeded_log(directory) as log:
        for number, size in enumerate(sizes):
            if "history" in parts or number == 1:
                log.grow(size, progress)
            if "history" in parts:
                results.histories.append(measure_history(log, directory, progress))
            if "rebuild" in parts and number == 1:
                results.rebuild = measure_rebuild(log, directory, progress)


if __name__ == "__main__":
    main()
