"""A whole run: what is sent in which order, what is counted, and what each message comes to."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest

from tests.unit.simulate.stub_tracker import TOKEN, Received, StubTracker, validates
from tracker.simulate.run import Plan, Run
from tracker.simulate.traffic.callbacks import Callback, make_signer
from tracker.simulate.traffic.disorder import Trouble
from tracker.simulate.traffic.pace import Pace
from tracker.simulate.traffic.sender import Answer, open_sender
from tracker.simulate.world.population import Message, Population, Wanted
from tracker.simulate.world.senders import Account

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
URL = "https://status.example.com/webhooks/twilio/status?tenant=1"
ACCOUNT_SID = "AC" + "a" * 32


async def others_turn() -> None:
    """Lets whatever is ready run before going on."""
    ready = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(ready.set_result, None)
    await ready


class Network:
    """Takes callbacks instead of a network, and answers as it is told to."""

    def __init__(self, answer: Callable[[dict[str, str], Callback], Answer] | Answer = 200) -> None:
        self.sent: list[tuple[dict[str, str], Callback]] = []
        self.most_at_a_time = 0
        self._answer: Callable[[dict[str, str], Callback], Answer] | Answer = answer
        self._now: Counter[str] = Counter()

    async def post(self, callback: Callback) -> tuple[Answer, float]:
        params = dict(parse_qsl(callback.body.decode(), keep_blank_values=True))
        self.sent.append((params, callback))
        self._now[params["MessageSid"]] += 1
        assert self._now[params["MessageSid"]] == 1, "two callbacks of one message at a time"
        self.most_at_a_time = max(self.most_at_a_time, self._now.total())
        await others_turn()
        self._now[params["MessageSid"]] -= 1
        if callable(self._answer):
            return self._answer(params, callback), 0.004
        return self._answer, 0.004

    def statuses(self, message_sid: str) -> list[str]:
        return [params["MessageStatus"] for params, _ in self.sent if params["MessageSid"] == message_sid]


def verifies(params: dict[str, str], callback: Callback) -> bool:
    return validates(URL, params, callback.headers.get("x-twilio-signature", ""))


def population(wanted: Wanted | None = None) -> Population:
    return Population(1, Account(ACCOUNT_SID, 1), wanted or Wanted())


def make_run(number: int = 60, trouble: Trouble | None = None, wanted: Wanted | None = None, url: str = URL) -> Run:
    plan = Plan(1, number, 8, trouble or Trouble(), url)
    return Run(plan, population(wanted), make_signer(TOKEN), lambda: NOON)


def messages(number: int = 60, wanted: Wanted | None = None) -> list[Message]:
    return [population(wanted).message(index, NOON) for index in range(number)]


def test_each_message_is_told_in_order_one_callback_at_a_time() -> None:
    """Without trouble the tracker hears what happened, as it happened, and the state is the last word's."""
    run, network = make_run(), Network()
    asyncio.run(run.send_all(network))
    for message, outcome in zip(messages(), run.outcomes, strict=True):
        told = [update.status for update in message.updates]
        assert network.statuses(message.message_sid) == told
        assert outcome.message_sid == message.message_sid
        assert list(outcome.statuses) == told
        assert outcome.event_count == len(told)
        assert (outcome.in_doubt, outcome.alternatives) == (0, ())
    assert all(verifies(params, callback) for params, callback in network.sent)
    assert 1 < network.most_at_a_time <= 8
    assert not run.tally.unexpected


def test_the_same_seed_sends_the_same_bytes() -> None:
    """Bodies, signatures and idempotency tokens, with all kinds of trouble."""
    trouble = Trouble(0.5, 0.3, 0.2, 0.1, 0.2, 0.2)
    sent: list[set[tuple[bytes, tuple[str, ...]]]] = []
    for _ in range(2):
        network = Network()
        asyncio.run(make_run(trouble=trouble).send_all(network))
        sent.append({(callback.body, tuple(callback.headers.values())) for _, callback in network.sent})
    assert sent[0] == sent[1]


def test_a_duplicate_is_the_same_request_again() -> None:
    """Same body, same signature, same idempotency token; every other callback has a token of its own."""
    run, network = make_run(trouble=Trouble(duplicates=1.0)), Network()
    asyncio.run(run.send_all(network))
    tokens = Counter(callback.headers["i-twilio-idempotency-token"] for _, callback in network.sent)
    assert set(tokens.values()) == {2}
    assert len({(callback.body, *callback.headers.values()) for _, callback in network.sent}) == len(tokens)
    assert run.tally.by_kind["duplicate"] == run.tally.by_kind["original"] == len(tokens)
    assert sum(outcome.event_count for outcome in run.outcomes) == 2 * len(tokens)


def test_disorder_changes_the_order_and_not_the_outcome() -> None:
    """All messages that can be are out of order; their states are those of the run without trouble."""
    calm, wild, network = make_run(), make_run(trouble=Trouble(disorder=1.0)), Network()
    asyncio.run(calm.send_all(Network()))
    asyncio.run(wild.send_all(network))
    several = [message for message in messages() if len(message.updates) > 1]
    assert wild.tally.out_of_order_messages == len(several)
    told = [network.statuses(message.message_sid) for message in several]
    assert all(order != [update.status for update in about.updates] for order, about in zip(told, several, strict=True))
    for one, other in zip(calm.outcomes, wild.outcomes, strict=True):
        assert (one.status, one.error_code, one.event_count) == (other.status, other.error_code, other.event_count)


def test_what_is_late_comes_after_everything_else() -> None:
    """The held callbacks are the last ones of the run, and count for their messages."""
    run, network = make_run(trouble=Trouble(late=0.3)), Network()
    asyncio.run(run.send_all(network))
    late = run.tally.late
    assert late > 10
    first = {callback.body for _, callback in network.sent[:-late]}
    in_order = make_run()
    asyncio.run(in_order.send_all(Network()))
    assert first.isdisjoint(callback.body for _, callback in network.sent[-late:])
    assert [outcome.status for outcome in run.outcomes] == [outcome.status for outcome in in_order.outcomes]


def test_what_is_lost_is_not_sent_and_not_expected() -> None:
    """Sent and lost add up; a message without any callback is not known to the tracker."""
    run, network = make_run(trouble=Trouble(loss=0.5)), Network()
    asyncio.run(run.send_all(network))
    assert len(network.sent) + run.tally.lost == sum(len(message.updates) for message in messages())
    unknown = [outcome for outcome in run.outcomes if outcome.event_count == 0]
    assert unknown
    assert all(outcome.status is None and not outcome.is_final for outcome in unknown)


def test_forged_and_unsigned_callbacks_are_refused_and_not_expected() -> None:
    """A tracker that verifies answers 403 to exactly them, and the states are as if they had never been sent."""
    run = make_run(trouble=Trouble(forged=0.5, unsigned=0.5))
    asyncio.run(run.send_all(Network(lambda params, callback: 200 if verifies(params, callback) else 403)))
    calm = make_run()
    asyncio.run(calm.send_all(Network()))
    assert run.tally.by_kind["forged"] > 10
    assert run.tally.by_kind["unsigned"] > 10
    assert run.tally.answers["403"] == run.tally.by_kind["forged"] + run.tally.by_kind["unsigned"]
    assert not run.tally.unexpected
    assert run.tally.by_status == calm.tally.by_status
    assert run.outcomes == calm.outcomes


def test_a_forgery_that_is_taken_is_unexpected() -> None:
    """A tracker that believes anyone fails the run."""
    run = make_run(trouble=Trouble(forged=0.5))
    asyncio.run(run.send_all(Network()))
    assert run.tally.unexpected == {"forged: 200": run.tally.by_kind["forged"]}


@pytest.mark.parametrize(
    ("answer", "in_doubt"), [(403, False), ("unreachable", False), (503, True), ("no_answer", True)]
)
def test_what_is_not_taken_is_not_expected(answer: Answer, in_doubt: bool) -> None:
    """Refused or not reached: unknown. Failed on the way: unknown, or any state that what was sent allows."""
    run = make_run()
    asyncio.run(run.send_all(Network(answer)))
    assert run.tally.unexpected == {f"original: {answer}": run.tally.callbacks}
    for message, outcome in zip(messages(), run.outcomes, strict=True):
        assert (outcome.status, outcome.event_count) == (None, 0)
        assert outcome.in_doubt == (len(message.updates) if in_doubt else 0)
        allowed = {state.status for state in outcome.alternatives}
        assert allowed == ({update.status for update in message.updates} if in_doubt else set())


def test_a_refused_outcome_leaves_the_state_before_it() -> None:
    """Only what was answered 2xx counts: without its receipts every message stays where it was."""
    refused = {"delivered", "undelivered", "read", "failed", "canceled"}
    run = make_run(number=400)
    asyncio.run(run.send_all(Network(lambda params, _: 403 if params["MessageStatus"] in refused else 200)))
    assert {outcome.status for outcome in run.outcomes} == {"sent", "queued", None}


def test_the_channel_is_the_one_it_went_by_in_the_end() -> None:
    """RCS that fell back to SMS is a message by SMS from a number; all else stays on its channel."""
    wanted = Wanted(channels=["rcs"])
    run = make_run(wanted=wanted)
    asyncio.run(run.send_all(Network()))
    for message, outcome in zip(messages(wanted=wanted), run.outcomes, strict=True):
        assert outcome.channel == ("sms" if message.life_cycle.startswith("fell back") else "rcs")
        assert outcome.from_address == message.updates[-1].from_address


def test_an_interrupted_run_tells_what_it_did() -> None:
    """The callback under way is in doubt, what was taken is expected, and what was not begun is not mentioned."""
    run = make_run(number=1000)

    async def interrupt() -> None:
        enough = asyncio.Event()

        def answer(*_: object) -> Answer:
            if run.tally.callbacks == 20:
                enough.set()
            return 200

        task = asyncio.create_task(run.send_all(Network(answer)))
        await enough.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(interrupt())
    assert 0 < len(run.outcomes) < 100
    assert sum(outcome.in_doubt for outcome in run.outcomes) == 8
    assert sum(outcome.event_count for outcome in run.outcomes) == run.tally.callbacks


def test_an_outage_is_counted_and_survived(stub: StubTracker) -> None:
    """Over real connections: some hung up on, some refused, the run comes to its end and every callback is counted."""

    def fail_now_and_then(received: Received) -> int | None:
        number = len(stub.received)
        return None if number % 7 == 0 else 503 if number % 5 == 0 else 200

    stub.respond = fail_now_and_then
    run = make_run(url=stub.url)

    async def send() -> None:
        async with open_sender(stub.url, concurrency=8, pace=Pace(0)) as sender:
            await run.send_all(sender)

    asyncio.run(send())
    assert run.tally.answers.keys() == {"200", "503", "no_answer"}
    assert run.tally.answers.total() == run.tally.callbacks == sum(len(message.updates) for message in messages())
    assert len(run.tally.latencies) == run.tally.answers["200"] + run.tally.answers["503"]
