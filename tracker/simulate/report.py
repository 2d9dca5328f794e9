"""Shows what a run did: one document for machines, tables for people."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from rich.console import Console
from rich.table import Table

from tracker.simulate.outcome import MessageOutcome
from tracker.simulate.tally import FORBIDDEN, Tally, percentile
from tracker.simulate.target import Target
from tracker.simulate.verify import Verification

_SHOWN_MISMATCHES = 20
_SHOWN_CODES = 4


@dataclass(frozen=True, slots=True)
class Report:
    """All there is to say about a run.

    complete: whether it came to its end; False after an interrupt. verification: None when there was none.
    """

    seed: int
    target: Target
    started_at: datetime
    finished_at: datetime
    tally: Tally
    outcomes: Sequence[MessageOutcome]
    complete: bool
    verification: Verification | None = None

    @property
    def is_good(self) -> bool:
        """Whether all answers, and all states that were asked for, are as they should be."""
        agrees = self.verification is None or not self.verification.mismatches
        return self.complete and not self.tally.unexpected and agrees

    @property
    def reached(self) -> bool:
        """Whether any callback found a server, or none was sent."""
        return not self.tally.callbacks or self.tally.answers["unreachable"] < self.tally.callbacks

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def callbacks_per_second(self) -> float | None:
        """None for a run too short to tell."""
        return round(self.tally.callbacks / self.seconds, 1) if self.seconds else None

    @property
    def latency_ms(self) -> dict[str, float | None]:
        """Milliseconds from the first byte sent to the last byte read, by percentile; None without answers."""
        shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
        found = {name: percentile(self.tally.latencies, share) for name, share in shares.items()}
        return {name: None if value is None else round(value, 3) for name, value in found.items()}


def to_json(report: Report) -> bytes:
    """The document of ``tracker simulate --json``."""
    tally = report.tally
    document = {
        "seed": report.seed,
        "url": report.target.url,
        "signed_url": report.target.signed_url,
        "account_sid": report.target.account_sid,
        "started_at": report.started_at,
        "finished_at": report.finished_at,
        "complete": report.complete,
        "duration_seconds": round(report.seconds, 3),
        "callbacks_per_second": report.callbacks_per_second,
        "sent": {
            "messages": tally.messages,
            "callbacks": tally.callbacks,
            "by_status": tally.by_status,
            "duplicates": tally.by_kind["duplicate"],
            "out_of_order_messages": tally.out_of_order_messages,
            "late": tally.late,
            "lost": tally.lost,
            "forged": tally.by_kind["forged"],
            "unsigned": tally.by_kind["unsigned"],
        },
        "answers": tally.answers,
        "unexpected_answers": tally.unexpected,
        "latency_ms": report.latency_ms,
        "messages": report.outcomes,
        "verification": report.verification,
    }
    return msgspec.json.encode(document)


def show(report: Report, console: Console) -> None:
    """Print the summary, as tables."""
    tally = report.tally
    console.print(
        f"Posted to {report.target.url} for account {report.target.account_sid}, seed {report.seed}", markup=False
    )
    console.print(_table("Sent", ("callbacks", "number"), _sent_rows(tally)))
    console.print(_table("Answers", ("answer", "callbacks"), _by_number(tally.answers)))
    console.print(
        _table("States that the tracker should have", ("status", "error codes", "messages"), _state_rows(report))
    )
    latency = ", ".join(f"{name} {_milliseconds(value)}" for name, value in report.latency_ms.items())
    console.print(f"Latency: {latency}")
    console.print(
        f"{tally.callbacks:,} callbacks in {report.seconds:.1f} s: {report.callbacks_per_second or 0:,} per second"
    )
    for what, number in tally.unexpected.items():
        console.print(f"[red]Unexpected answers:[/red] {what} ({number:,})")


def show_advice(report: Report, console: Console, program: str) -> None:
    """Print what the user can do next. program: command line of ``tracker`` up to the subcommand."""
    tally, target = report.tally, report.target
    if not report.complete:
        console.print("[yellow]Interrupted: the report covers what was sent until then.[/yellow]")
    if not report.reached:
        advice = f"Nothing was reached at {target.url}. Is the tracker running? `make run` starts it; --url gives another address."
        console.print(advice, markup=False, soft_wrap=True)
    elif any(tally.unexpected[f"{kind}: {FORBIDDEN}"] for kind in ("original", "duplicate")):
        console.print(_advice_on_refusals(target), markup=False, soft_wrap=True)
    elif shown := next((outcome for outcome in report.outcomes if outcome.error_code), None) or next(
        (outcome for outcome in report.outcomes if outcome.status), None
    ):
        sid = shown.message_sid
        console.print(
            f"Next: {program} history {sid}\n or   {target.api_base_url}/messages/{sid}", markup=False, soft_wrap=True
        )


def _advice_on_refusals(target: Target) -> str:
    return (
        "The tracker answered 403: it computed another signature. Signed here were\n"
        f"  the URL      {target.signed_url}\n"
        f"  the account  {target.account_sid}\n"
        "  the token    of --token or TWILIO_AUTH_TOKEN, else the development token in TRACKER_DATA_DIR.\n"
        "All three must be the tracker's: run this in its directory with its TRACKER_DATA_DIR, PUBLIC_BASE_URL and TWILIO_ settings,\n"
        "or give --url, --account-sid and --token. Its log names the URLs that it compared: callback.refused."
    )


def show_verification(verification: Verification, console: Console) -> None:
    """What the tracker says, beside what it should say."""
    console.print(f"Verified {verification.messages:,} messages: {verification.matched:,} as they should be")
    if not verification.mismatches:
        return
    rows = [
        (mismatch.message_sid, name, _cell(difference.expected), _cell(difference.found))
        for mismatch in verification.mismatches[:_SHOWN_MISMATCHES]
        for name, difference in mismatch.differences.items()
    ]
    console.print(_table("Not as they should be", ("message", "what", "should be", "is"), rows, numbers=False))
    if len(verification.mismatches) > _SHOWN_MISMATCHES:
        console.print(f"… and {len(verification.mismatches) - _SHOWN_MISMATCHES:,} more messages")
    console.print("A seed that this tracker has seen before gives such differences too, as its messages are the same.")


def _sent_rows(tally: Tally) -> Iterable[tuple[str, str]]:
    yield from _by_number(tally.by_status)
    yield "all", f"{tally.callbacks:,}"
    troubles = {
        "repeated": tally.by_kind["duplicate"],
        "held back to the end": tally.late,
        "never sent": tally.lost,
        "forged": tally.by_kind["forged"],
        "unsigned": tally.by_kind["unsigned"],
        "messages out of order": tally.out_of_order_messages,
    }
    yield from ((name, f"{number:,}") for name, number in troubles.items() if number)
    yield "messages", f"{tally.messages:,}"


def _state_rows(report: Report) -> Iterable[tuple[str, str, str]]:
    statuses = Counter(outcome.status or "unknown message" for outcome in report.outcomes)
    for status, number in statuses.most_common():
        codes = Counter(outcome.error_code for outcome in report.outcomes if outcome.status == status)
        codes.pop(None, None)
        yield status, _most_frequent(codes), f"{number:,}"


def _most_frequent(codes: Counter[str | None]) -> str:
    shown = [f"{code} ×{number:,}" for code, number in codes.most_common(_SHOWN_CODES)]
    return ", ".join(shown + ["…"] * (len(codes) > _SHOWN_CODES))


def _by_number(counts: Counter[str]) -> Iterable[tuple[str, str]]:
    return ((name, f"{number:,}") for name, number in counts.most_common())


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = True) -> Table:
    """numbers: whether the last column holds some."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if numbers and column == columns[-1] else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _cell(value: object) -> str:
    return "–" if value is None else str(value)


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f} ms"
