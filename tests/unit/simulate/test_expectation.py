"""The oracle: what a message's state must be, against cases worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.simulate.expectation import NOTHING_SAID, State, alternatives, expected_state, sort_key
from tracker.simulate.world.population import Update

FROM = "+12015550142"


def said(status: str, code: str | None = None, date: str | None = None, sender: str = FROM) -> Update:
    return Update(status, code, date, sender)


SENT = said("sent")
DELIVERED = said("delivered")
READ = said("read")
UPDATES = st.builds(
    said,
    st.sampled_from(["queued", "sending", "sent", "canceled", "failed", "undelivered", "delivered", "read"]),
    st.sampled_from([None, "30003", "30008"]),
    st.sampled_from([None, "2603011200", "2603011207", "2613451200", "soon"]),
)


@pytest.mark.parametrize(
    ("updates", "status", "code", "date"),
    [
        pytest.param([DELIVERED, SENT], "delivered", None, None, id="late sent after delivered"),
        pytest.param([READ, SENT, DELIVERED], "read", None, None, id="read before delivered"),
        pytest.param([SENT, READ], "read", None, None, id="delivery never told"),
        pytest.param(
            [said("undelivered", "30003"), DELIVERED],
            "delivered",
            None,
            None,
            id="undelivered, then delivered, no dates",
        ),
        pytest.param(
            [DELIVERED, said("undelivered", "30003")],
            "delivered",
            None,
            None,
            id="delivered, then undelivered, no dates",
        ),
        pytest.param(
            [said("undelivered", "30003", "2603011200"), said("delivered", None, "2603011207")],
            "delivered",
            None,
            "2603011207",
            id="the carrier corrects a failure",
        ),
        pytest.param(
            [said("delivered", None, "2603011200"), said("undelivered", "30003", "2603021400")],
            "delivered",
            None,
            "2603011200",
            id="dates 26 hours apart cannot be compared",
        ),
        pytest.param(
            [said("delivered", None, "2603011200"), said("undelivered", "30003", "2603021401")],
            "undelivered",
            "30003",
            "2603021401",
            id="a date more than 26 hours later wins",
        ),
        pytest.param(
            [said("delivered", None, "2603011200"), said("undelivered", "30003", "2603011200")],
            "delivered",
            None,
            "2603011200",
            id="segments disagree within a minute",
        ),
        pytest.param(
            [said("undelivered", "30003", "2603011200"), DELIVERED],
            "delivered",
            None,
            None,
            id="an outcome without a date is not superseded",
        ),
        pytest.param(
            [said("delivered", None, "2512302159"), said("undelivered", "30003", "2601010000")],
            "undelivered",
            "30003",
            "2601010000",
            id="over the turn of the year",
        ),
        pytest.param(
            [said("undelivered", "30003", "2613451200"), DELIVERED], "delivered", None, None, id="a date that is none"
        ),
        pytest.param(
            [said("failed", "30001"), said("failed")], "failed", "30001", None, id="repeated without its code"
        ),
        pytest.param(
            [said("undelivered", "30003"), said("undelivered", None, "2603011200")],
            "undelivered",
            "30003",
            "2603011200",
            id="repeated with a date, without its code",
        ),
        pytest.param([said("failed", "30001"), said("failed", "30500")], "failed", "30500", None, id="two codes"),
        pytest.param([said("failed", "E1"), said("failed")], "failed", "E1", None, id="a code that is no number"),
        pytest.param([said("sent"), said("teleported")], "sent", None, None, id="unknown status after a known one"),
        pytest.param([said("teleported")], "teleported", None, None, id="unknown status alone"),
        pytest.param([said("canceled")], "canceled", None, None, id="canceled"),
        pytest.param([said("queued"), said("sending"), SENT], "sent", None, None, id="no receipt"),
    ],
)
def test_hard_cases(updates: list[Update], status: str, code: str | None, date: str | None) -> None:
    """The state is the one worked out by hand, whichever way round it was told."""
    for order in (updates, updates[::-1]):
        state = expected_state(order)
        assert (state.status, state.error_code, state.raw_dlr_done_date) == (status, code, date)


@pytest.mark.parametrize(
    ("status", "is_final", "delivered"),
    [
        ("queued", False, False),
        ("sending", False, False),
        ("sent", False, False),
        ("teleported", False, False),
        ("canceled", True, False),
        ("failed", True, False),
        ("undelivered", True, False),
        ("delivered", True, True),
        ("read", True, True),
    ],
)
def test_final_and_delivered(status: str, is_final: bool, delivered: bool) -> None:
    """An outcome is final; delivered and read reached the recipient."""
    state = expected_state([said(status)])
    assert (state.is_final, state.delivered) == (is_final, delivered)


@given(updates=st.lists(UPDATES, min_size=1, max_size=6), data=st.data())
def test_order_and_repetition_change_nothing(updates: list[Update], data: st.DataObject) -> None:
    """Only the set counts."""
    repeated = updates + data.draw(st.lists(st.sampled_from(updates)))
    told = expected_state(data.draw(st.permutations(repeated)))
    # What is no date sorts as none, so which of two such texts is shown is left open.
    assert (told.status, told.error_code) == (expected_state(updates).status, expected_state(updates).error_code)


@given(updates=st.lists(UPDATES, min_size=1, max_size=6))
def test_the_greatest_key_decides(updates: list[Update]) -> None:
    """No update has a greater key than one of the expected status."""
    state = expected_state(updates)
    assert max(map(sort_key, updates)) in [sort_key(update) for update in updates if update.status == state.status]


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (SENT, said("failed")),
        (said("failed", date="2603011200"), said("failed", date="2603011201")),
        (said("undelivered", "30008"), DELIVERED),
        (said("failed"), said("failed", "E1")),
        (said("failed", "30001"), said("failed", "30002")),
        (said("failed", "9999"), said("failed", "30001")),
        (DELIVERED, READ),
    ],
)
def test_keys_are_compared_part_by_part(less: Update, more: Update) -> None:
    """Phase, then outcome, then date, then whether there is a code, then the code as a number."""
    assert sort_key(less) < sort_key(more)


def test_nothing_said_is_nothing_known() -> None:
    """A message of which every callback was lost is unknown."""
    assert expected_state([]) == NOTHING_SAID


def test_the_sender_is_the_deciding_updates() -> None:
    """RCS that fell back to SMS: the number it came from in the end."""
    fallen = [said("queued", sender="rcs:acme_agent"), said("delivered")]
    assert expected_state(fallen).from_address == FROM


def test_doubt_leaves_room_for_what_may_have_been_taken() -> None:
    """Each doubtful update that would change the state gives one more right state."""
    states = alternatives([SENT], [DELIVERED, said("undelivered", "30003", "2603011200"), said("queued")])
    assert {state.status for state in states} == {"delivered", "undelivered"}


def test_doubts_are_combined() -> None:
    """A code of one doubtful update and the date of another make a third right state."""
    coded, dated = said("undelivered", "30003"), said("undelivered", None, "2603011200")
    found = {(state.error_code, state.raw_dlr_done_date) for state in alternatives([SENT], [coded, dated, coded])}
    assert found == {("30003", None), (None, "2603011200"), ("30003", "2603011200")}


@given(certain=st.lists(UPDATES, max_size=3), in_doubt=st.lists(UPDATES, max_size=3))
def test_the_expected_state_is_no_alternative(certain: list[Update], in_doubt: list[Update]) -> None:
    """Alternatives are other states, each once, and without doubt there are none."""
    states: tuple[State, ...] = alternatives(certain, in_doubt)
    assert expected_state(certain) not in states
    assert len(set(states)) == len(states)
    assert alternatives(certain, []) == ()
