"""The table of a run, for people."""

from collections.abc import Iterator

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table

from tests.bench.results import NAMES, TITLES, Comparison, Results, Verdict, verdicts


def print_report(results: Results, console: Console) -> None:
    """Everything that was measured, then the verdicts."""
    console.print(Group(*_parts(results)))


def markdown(results: Results) -> str:
    """The comparison and the verdicts as Markdown, for the documentation."""
    lines: list[str] = [_machine_line(results), ""]
    comparison = results.comparison
    if comparison is not None:
        lines += [*_markdown_table(_comparison_rows(comparison)), "", _lag_line(comparison)]
    if results.rebuild is not None:
        lines += ["", _rebuild_line(results)]
    if results.histories:
        lines += ["", *_markdown_table(_history_rows(results))]
    found = verdicts(results)
    if found:
        lines += ["", *_markdown_table([["target", "measured", "asked for", ""], *map(_verdict_row, found)])]
    return "\n".join([*lines, ""])


def as_json(results: Results) -> bytes:
    """Every round as it was measured, the medians, and the verdicts."""
    comparison = results.comparison
    medians = {} if comparison is None else {
        name: {
            "requests_per_second": comparison.rate(name),
            "p50_ms": comparison.p50_ms(name),
            "p99_ms": comparison.p99_ms(name),
            "cpu_microseconds_per_request": comparison.cpu_microseconds(name),
        }
        for name in NAMES
    }  # fmt: skip
    judged = [{**msgspec.structs.asdict(verdict), "holds": verdict.holds} for verdict in verdicts(results)]
    document = {**msgspec.structs.asdict(results), "medians": medians, "verdicts": judged}
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _parts(results: Results) -> Iterator[RenderableType]:
    yield _machine_line(results)
    if results.comparison is not None:
        yield _table(_comparison_rows(results.comparison), "Callbacks")
        yield _lag_line(results.comparison)
    if results.rebuild is not None:
        yield _rebuild_line(results)
    if results.histories:
        yield _table(_history_rows(results), "GET /api/messages/{sid}/events")
    found = verdicts(results)
    if found:
        rows = [["target", "measured", "asked for", ""], *map(_verdict_row, found)]
        yield _table(rows, "Targets")


def _machine_line(results: Results) -> str:
    machine = results.machine
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    comparison = results.comparison
    how = "" if comparison is None else (
        f"\n{len(comparison.rounds['tracker'])} rounds of {comparison.seconds} s each, "
        f"{comparison.connections} connections, "
        "medians; one web worker each; fsync and synchronous_commit on. "
        f"Other processes used up to {comparison.others_share():.0%} of the machine meanwhile."
    )  # fmt: skip
    return (
        f"{results.started_at:%Y-%m-%d %H:%M} UTC, commit {machine.commit or 'unknown'}. "
        f"{machine.processor}, {machine.cores} cores, "
        f"{machine.memory_gib} GiB, {machine.system}, {machine.filesystem}, a commit takes {machine.commit_ms} ms. "
        f"Load average before: {machine.load_average}.\n{versions}.{how}"
    )


def _comparison_rows(comparison: Comparison) -> list[list[str]]:
    rows = [["", "requests/s", "p50 ms", "p99 ms", "CPU µs a request, by process", "(d) is"]]
    tracker = comparison.rate("tracker")
    for name in NAMES:
        rate = comparison.rate(name)
        cpu = ", ".join(f"{process} {used:.0f}" for process, used in comparison.cpu_microseconds(name).items())
        times = f"{tracker / rate:.2f} ×" if name != "tracker" else ""
        rows.append(
            [
                TITLES[name],
                f"{rate:,.0f}",
                f"{comparison.p50_ms(name):.2f}",
                f"{comparison.p99_ms(name):.2f}",
                cpu,
                times,
            ]
        )
    return rows


def _lag_line(comparison: Comparison) -> str:
    rounds = comparison.rounds["tracker"]
    worst = max(rounds, key=lambda each: each.lag_events)
    return (
        f"(d): {sum(each.requests for each in rounds):,} acknowledged, stored and projected; "
        "at the end of a load at most "
        f"{worst.lag_events:,} events waited to be projected, caught up in {worst.catch_up_seconds:.2f} s, "
        "which the rate counts."
    )


def _rebuild_line(results: Results) -> str:
    rebuild = results.rebuild
    assert rebuild is not None
    memory = ", ".join(
        f"{size:.0f} MiB at {when}" if when != "peak" else f"{size:.0f} at most"
        for when, size in rebuild.memory_mib.items()
    )
    took = (
        f"{rebuild.events:,} events taken in, in {rebuild.filling_seconds:.1f} s, {rebuild.rate:,.0f} a second; "
        f"{rebuild.seconds:.1f} s in all, {rebuild.events / rebuild.seconds:,.0f} a second"
    )
    return f"{rebuild.how}: {took}; memory {memory}."


def _history_rows(results: Results) -> list[list[str]]:
    rows = [["events in the log", "questions", "p50 ms", "p99 ms"]]
    return rows + [
        [f"{each.events:,}", str(each.questions), f"{each.p50_ms:.2f}", f"{each.p99_ms:.2f}"]
        for each in results.histories
    ]


def _verdict_row(verdict: Verdict) -> list[str]:
    bound = "at least" if verdict.at_least else "at most"
    return [
        verdict.claim,
        f"{verdict.measured:.2f}",
        f"{bound} {verdict.target:g}",
        "holds" if verdict.holds else "falls short",
    ]


def _table(rows: list[list[str]], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(rows[0]):
        table.add_column(heading, justify="left" if number in {0, 4} else "right")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _markdown_table(rows: list[list[str]]) -> list[str]:
    heading, *body = [f"| {' | '.join(row)} |" for row in rows]
    return [heading, "|" + "---|" * len(rows[0]), *body]
