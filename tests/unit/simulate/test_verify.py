"""Verification: the tracker's answers beside what they must be."""

import asyncio

import msgspec
import pytest

from tests.unit.simulate.stub_tracker import StubTracker
from tracker.simulate.expectation import State, expected_state
from tracker.simulate.outcome import MessageOutcome
from tracker.simulate.verify import Difference, Found, NotAllowedError, Verification, differences, verify
from tracker.simulate.world.population import Update

SENT = Update("sent", None, None, "+12015550142")
UNDELIVERED = Update("undelivered", "30003", "2603011200", "+12015550142")


def outcome(*alternatives: State, sid: str = "SM" + "1" * 32, taken: bool = True, in_doubt: int = 0) -> MessageOutcome:
    """A message that must be undelivered; taken False: that must be unknown."""
    return MessageOutcome(
        message_sid=sid,
        account_sid="AC" + "a" * 32,
        messaging_service_sid=None,
        channel="sms",
        country="US",
        from_address="+12015550142",
        to="+12015550123",
        life_cycle="undelivered",
        status="undelivered" if taken else None,
        error_code="30003" if taken else None,
        is_final=taken,
        raw_dlr_done_date="2603011200" if taken else None,
        event_count=2 if taken else 0,
        delivered=False,
        statuses=("sent", "undelivered") if taken else (),
        error_codes=("30003",) if taken else (),
        in_doubt=in_doubt,
        alternatives=alternatives,
    )


def answer(**changes: object) -> dict[str, object]:
    """The API's answer for that message, with changes."""
    right: dict[str, object] = {
        "message_sid": "SM" + "1" * 32,
        "account_sid": "AC" + "a" * 32,
        "messaging_service_sid": None,
        "channel": "sms",
        "country": "US",
        "from": "+12015550142",
        "to": "+12015550123",
        "status": "undelivered",
        "is_final": True,
        "error_code": "30003",
        "raw_dlr_done_date": "2603011200",
        "event_count": 2,
        "decided_by": 17,
    }
    return right | changes


def ask(stub: StubTracker, *outcomes: MessageOutcome, token: str | None = None, seconds: float = 10) -> Verification:
    return asyncio.run(verify(stub.base_url, token, outcomes, seconds=seconds))


def test_the_right_answer_has_no_differences() -> None:
    """What we do not know of, such as positions, is not compared."""
    assert differences(outcome(), Found(answer())) == {}


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("status", "delivered"),
        ("is_final", False),
        ("error_code", None),
        ("raw_dlr_done_date", None),
        ("event_count", 3),
        ("event_count", None),
        ("country", "CA"),
        ("channel", "mms"),
        ("from", None),
        ("to", "+12015550124"),
        ("account_sid", "AC" + "b" * 32),
        ("messaging_service_sid", "MG" + "b" * 32),
    ],
)
def test_each_field_counts(field: str, wrong: object) -> None:
    """A wrong one is the one difference, with what it should be."""
    found = differences(outcome(), Found(answer(**{field: wrong})))
    assert found == {field: Difference(answer()[field], wrong)}


def test_a_missing_field_is_a_difference() -> None:
    """An API that leaves the error code out does not pass."""
    reduced = answer()
    del reduced["error_code"]
    assert differences(outcome(), Found(reduced)) == {"error_code": Difference("30003", None)}


def test_a_message_without_callbacks_must_be_unknown() -> None:
    """404 is right then, and only then."""
    assert differences(outcome(taken=False), Found()) == {}
    assert differences(outcome(taken=False), Found(answer())) == {
        "status": Difference("unknown message", "undelivered")
    }
    assert differences(outcome(), Found()) == {"status": Difference("undelivered", "unknown message")}


def test_doubt_allows_either_state_and_count() -> None:
    """A callback without an answer may have been taken or not."""
    doubtful = outcome(expected_state([SENT]), in_doubt=1)
    as_sent = answer(status="sent", is_final=False, error_code=None, raw_dlr_done_date=None)
    assert differences(doubtful, Found(answer())) == {}
    assert differences(doubtful, Found(as_sent | {"event_count": 3})) == {}
    assert differences(doubtful, Found(answer(event_count=4))) == {"event_count": Difference("2 to 3", 4)}
    assert "status" in differences(doubtful, Found(answer(status="delivered")))


def test_a_message_in_doubt_altogether_may_be_known_or_not() -> None:
    """Its only callback had no answer."""
    doubtful = outcome(expected_state([UNDELIVERED]), taken=False, in_doubt=1)
    assert differences(doubtful, Found()) == {}
    assert differences(doubtful, Found(answer(event_count=1))) == {}


def test_all_as_they_should_be(stub: StubTracker) -> None:
    """Asked over HTTP, each message once."""
    stub.states["SM" + "1" * 32] = [answer()]
    assert ask(stub, outcome(), outcome(sid="SM" + "2" * 32, taken=False)) == Verification(2, 2, ())


def test_it_asks_again_until_the_tracker_has_caught_up(stub: StubTracker) -> None:
    """A projector may lag for a moment."""
    stub.states["SM" + "1" * 32] = [answer(status="sent", event_count=1), answer(status="sent"), answer()]
    assert ask(stub, outcome()).mismatches == ()


def test_when_the_time_is_over_the_differences_are_told(stub: StubTracker) -> None:
    """With the message they belong to."""
    stub.states["SM" + "1" * 32] = [answer(status="sent")]
    found = ask(stub, outcome(), seconds=0)
    assert (found.messages, found.matched) == (1, 0)
    assert found.mismatches[0].message_sid == "SM" + "1" * 32
    assert found.mismatches[0].differences == {"status": Difference("undelivered", "sent")}
    assert b'"expected":"undelivered"' in msgspec.json.encode(found)


def test_the_bearer_token_is_sent(stub: StubTracker) -> None:
    """With it the API answers; without it the user is told what to set."""
    stub.api_token = "open sesame"
    stub.states["SM" + "1" * 32] = [answer()]
    assert ask(stub, outcome(), token="open sesame").matched == 1
    with pytest.raises(NotAllowedError, match="TRACKER_API_TOKEN"):
        ask(stub, outcome())


def test_no_answer_is_a_mismatch(stub: StubTracker) -> None:
    """A tracker that is gone does not pass, and does not raise."""
    gone = StubTracker(base_url=stub.base_url.rsplit(":", 1)[0] + ":1")
    assert "answer" in ask(gone, outcome(), seconds=0).mismatches[0].differences
