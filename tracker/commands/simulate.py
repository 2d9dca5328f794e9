"""``tracker simulate``: posts what Twilio would post, and reports which states the tracker must have afterwards."""

# pyright: reportUnknownMemberType=false
# The decorators of rich_click leave the type parameter of click's ParamType open.

import secrets
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import rich_click as click
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tracker.commands.invocation import invocation
from tracker.simulate.report import Report, show, show_advice, show_verification, to_json
from tracker.simulate.run import Plan, Run
from tracker.simulate.target import Target, find_target
from tracker.simulate.traffic.callbacks import make_signer
from tracker.simulate.traffic.disorder import Trouble
from tracker.simulate.traffic.pace import Pace
from tracker.simulate.traffic.sender import open_sender
from tracker.simulate.verify import Verification, verify
from tracker.simulate.world.countries import COUNTRIES
from tracker.simulate.world.life_cycles import CHANNELS, Channel
from tracker.simulate.world.population import Population, Wanted
from tracker.simulate.world.senders import Account

_SHARE = click.FloatRange(0, 1)


@click.command("simulate")
@click.option("-n", "--messages", type=click.IntRange(1), default=200, show_default=True, help="How many messages.")
@click.option("--rate", type=click.FloatRange(0), default=0.0, help="Callbacks per second. 0: as fast as possible.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=32,
    show_default=True,
    help="Most messages in flight at a time.",
)
@click.option(
    "--seed", type=click.IntRange(0), help="The same seed gives the same messages, SIDs included. Default: random."
)
@click.option("--disorder", type=_SHARE, default=0.0, help="Share of messages whose callbacks come out of order.")
@click.option("--duplicates", type=_SHARE, default=0.0, help="Share of callbacks that are sent again.")
@click.option("--late", type=_SHARE, default=0.0, help="Share of callbacks that are held back to the end of the run.")
@click.option("--loss", type=_SHARE, default=0.0, help="Share of callbacks that are never sent.")
@click.option("--forged", type=_SHARE, default=0.0, help="Share of callbacks joined by one with a wrong signature.")
@click.option("--unsigned", type=_SHARE, default=0.0, help="Share of callbacks joined by one without a signature.")
@click.option("--failure-share", type=_SHARE, help="Share of messages that fail. Default: as the channel has it.")
@click.option("--error-code", type=click.IntRange(10000, 99999), help="The error code of all failures. Default: a mix.")
@click.option(
    "--channel", "channels", type=click.Choice(CHANNELS), multiple=True, help="Only this channel. Repeatable."
)
@click.option(
    "--country", "countries", type=click.Choice(list(COUNTRIES)), multiple=True, help="Only this country. Repeatable."
)
@click.option("--url", help="Callback URL, with its query string. Default: the tracker of this folder's settings.")
@click.option("--token", help="Auth token to sign with. Default: from the settings.")
@click.option("--account-sid", help="Account that sends. Default: from the settings.")
@click.option("--verify", "verifies", is_flag=True, help="Ask the API afterwards if each message is as it should be.")
@click.option(
    "--verify-seconds", type=click.FloatRange(0), default=30.0, show_default=True, help="How long to ask for."
)
@click.option("--api-token", help="Bearer token of the API. Default: from the settings.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document: what was sent, and each message's state."
)
def command(
    *,
    messages: int,
    rate: float,
    concurrency: int,
    seed: int | None,
    disorder: float,
    duplicates: float,
    late: float,
    loss: float,
    forged: float,
    unsigned: float,
    failure_share: float | None,
    error_code: int | None,
    channels: tuple[Channel, ...],
    countries: tuple[str, ...],
    url: str | None,
    token: str | None,
    account_sid: str | None,
    verifies: bool,
    verify_seconds: float,
    api_token: str | None,
    as_json: bool,
) -> None:
    """Post signed status callbacks, as Twilio would, and report which states the tracker must have afterwards.

    Without options it finds the tracker that `make run` started here, and its token. The report is on standard output,
    progress and advice on standard error. Exit code 1: a callback got another answer than it should have, a message
    has another state than it should have, or nothing was reached.

    Reads the settings, unless --url and --token are given. Writes nothing but the callbacks that it posts: they become
    messages of the tracker, and stay.

    Example: tracker simulate --messages 300 --rate 100 --concurrency 100 --disorder 0.3 --verify
    """
    seed = secrets.randbelow(2**32) if seed is None else seed
    trouble = Trouble(disorder, duplicates, late, loss, forged, unsigned)
    wanted = Wanted(channels, countries, failure_share, None if error_code is None else str(error_code))
    try:
        target = find_target(url, token, account_sid, api_token)
        population = Population(seed, Account(target.account_sid, seed), wanted)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    plan = Plan(seed, messages, concurrency, trouble, target.signed_url)
    # With --json, standard output holds the document alone.
    output = Console(stderr=as_json)
    report = _simulate(plan, population, target, rate, output)
    if verifies and report.complete and report.reached:
        report = replace(report, verification=_verify(report, verify_seconds, output))
    show_advice(report, Console(stderr=True), invocation())
    if as_json:
        click.echo(to_json(report))
    if not report.is_good:
        sys.exit(1)


def _simulate(plan: Plan, population: Population, target: Target, rate: float, output: Console) -> Report:
    """Run it and show the summary. An interrupt ends the run early; what was sent until then is still reported."""
    console = Console(stderr=True)
    started_at = _now()
    with _progress(console, "Messages sent", plan.messages) as advance:
        run = Run(plan, population, make_signer(target.auth_token), _now, advance)
        try:
            uvloop.run(_send(run, target.url, plan.concurrency, rate))
        except KeyboardInterrupt:
            complete = False
        else:
            # A cancellation that came together with an answer can be lost on its way up; what was not sent tells.
            complete = len(run.outcomes) == plan.messages
    report = Report(plan.seed, target, started_at, _now(), run.tally, run.outcomes, complete)
    if report.reached:
        show(report, output)
    return report


async def _send(run: Run, url: str, concurrency: int, rate: float) -> None:
    async with open_sender(url, concurrency=concurrency, pace=Pace(rate)) as sender:
        await run.send_all(sender)


def _verify(report: Report, seconds: float, output: Console) -> Verification:
    """Ask the tracker, and show what it answers."""
    console = Console(stderr=True)
    with _progress(console, "Messages verified", len(report.outcomes)) as advance:
        verification = uvloop.run(
            verify(
                report.target.api_base_url,
                report.target.api_token,
                report.outcomes,
                seconds=seconds,
                on_match=advance,
            )
        )
    show_verification(verification, output)
    return verification


@contextmanager
def _progress(console: Console, what: str, total: int) -> Generator[Callable[[], None]]:
    """A progress bar while the block runs, on a terminal only. Yields what to call for each one that is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def _now() -> datetime:
    return datetime.now(UTC)
