"""Messages: the same for the same seed, and as Twilio would have them."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.simulate.world.countries import COUNTRIES
from tracker.simulate.world.life_cycles import CHANNELS
from tracker.simulate.world.population import Message, Population, Wanted
from tracker.simulate.world.senders import Account

ACCOUNT_SID = "AC" + "a" * 32
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def population(seed: int = 1, wanted: Wanted | None = None) -> Population:
    return Population(seed, Account(ACCOUNT_SID, seed), wanted or Wanted())


def messages(number: int, wanted: Wanted | None = None) -> list[Message]:
    drawn = population(1, wanted)
    return [drawn.message(index, NOON) for index in range(number)]


MANY = messages(3000)


@given(seed=st.integers(0, 2**32), indexes=st.permutations(range(5)))
def test_a_message_depends_on_seed_and_number_alone(seed: int, indexes: list[int]) -> None:
    """Whatever was drawn before, message i of a seed is the same."""
    drawn = population(seed)
    in_this_order = {index: drawn.message(index, NOON) for index in indexes}
    assert in_this_order == {index: population(seed).message(index, NOON) for index in range(5)}


def test_the_time_of_day_changes_the_dates_of_receipts_only() -> None:
    """SIDs, numbers, statuses and codes are those of the seed at any time."""
    later = population().message(4, NOON + timedelta(days=9))
    assert [update.status for update in later.updates] == [update.status for update in MANY[4].updates]
    assert (later.message_sid, later.to_address) == (MANY[4].message_sid, MANY[4].to_address)


def test_other_seeds_give_other_messages() -> None:
    """No SID is shared between the messages of two seeds, or within one."""
    sids = {message.message_sid for message in MANY}
    assert len(sids) == len(MANY)
    assert sids.isdisjoint(population(2).message(index, NOON).message_sid for index in range(100))


def test_addresses_and_sids_have_the_forms_of_the_channel() -> None:
    """As the channel wants them; the account is the given one."""
    recipient = {"sms": r"\+\d+", "mms": r"\+\d+", "whatsapp": r"whatsapp:\+\d+", "rcs": r"(rcs:)?\+\d+"}
    for message in MANY:
        assert re.fullmatch(("MM" if message.channel == "mms" else "SM") + "[0-9a-f]{32}", message.message_sid)
        assert re.fullmatch(recipient[message.channel], message.to_address)
        assert message.account_sid == ACCOUNT_SID
        if message.messaging_service_sid is not None:
            assert re.fullmatch("MG[0-9a-f]{32}", message.messaging_service_sid)
        if message.channel in {"whatsapp", "rcs"}:
            assert message.updates[0].from_address.startswith(f"{message.channel}:")
            assert re.fullmatch("XE[0-9a-f]{32}", message.install_sid or "")


def test_queued_is_told_by_a_messaging_service_alone() -> None:
    """Without a service ``queued`` is the initial status, for which there is no callback; what is canceled was never queued."""
    for message in MANY:
        statuses = [update.status for update in message.updates]
        canceled = statuses == ["canceled"]
        assert ("queued" in statuses) == (message.messaging_service_sid is not None and not canceled)
        assert canceled or "canceled" not in statuses


def test_a_fallback_changes_the_sender_once_it_is_sent() -> None:
    """Queued by RCS, then sent by SMS from a number: From differs between the callbacks of one message."""
    fallen = [message for message in MANY if message.life_cycle.startswith("fell back")]
    assert fallen
    for message in fallen:
        assert message.updates[0].from_address.startswith("rcs:")
        assert all(":" not in update.from_address for update in message.updates[1:])
        assert not message.to_address.startswith("rcs:")


def test_only_carriers_date_receipts_and_most_of_them_do() -> None:
    """Dates stand on delivered and undelivered of SMS, MMS and fallbacks: on most, not on all, and on nothing else."""
    dated = Counter[bool]()
    for message in MANY:
        for update in message.updates:
            if update.status in {"delivered", "undelivered"} and ":" not in update.from_address:
                dated[update.raw_dlr_done_date is not None] += 1
            else:
                assert update.raw_dlr_done_date is None
    assert 0.8 < dated[True] / dated.total() < 0.9


def test_receipts_are_dated_in_the_past_of_some_time_zone() -> None:
    """The last receipt is of now, in the carrier's zone; an earlier one of the same message is minutes older."""
    corrected = [message for message in MANY if message.life_cycle == "corrected"]
    dates = [[update.raw_dlr_done_date for update in message.updates] for message in corrected]
    assert any(found[-2:] == ["2603011153", "2603011200"] for found in dates)
    offsets = {f"{NOON + timedelta(minutes=zone):%y%m%d%H%M}" for zone in (0, 60, -300, 330, 480)}
    last = {message.updates[-1].raw_dlr_done_date for message in MANY if message.updates[-1].status == "delivered"}
    assert last == offsets | {None}


def test_error_codes_stand_on_failures() -> None:
    """Every failed message has one, nothing else does; a repetition without its code is among them."""
    for message in MANY:
        coded = [update.status for update in message.updates if update.error_code is not None]
        assert set(coded) <= {"failed", "undelivered"}
        assert bool(coded) == any(update.status in {"failed", "undelivered"} for update in message.updates)
    repeated = next(message for message in MANY if message.life_cycle == "failure repeated without its code")
    assert repeated.updates[-2].error_code is not None
    assert repeated.updates[-1].error_code is None


def test_countries_and_channels_come_in_their_shares() -> None:
    """40 in 111 messages go to the United States; every channel is there."""
    countries = Counter(message.country for message in MANY)
    total = sum(country.weight for country in COUNTRIES.values())
    assert countries["US"] / len(MANY) == pytest.approx(COUNTRIES["US"].weight / total, abs=0.03)
    assert {message.channel for message in MANY} == set(CHANNELS)


def test_wishes_are_kept() -> None:
    """Channel, country, share of failures and error code are as asked for."""
    wanted = Wanted(channels=["whatsapp"], countries=["DE", "BR"], failure_share=1.0, error_code="63016")
    for message in messages(200, wanted):
        assert message.channel == "whatsapp"
        assert message.country in {"DE", "BR"}
        assert {update.error_code for update in message.updates} - {None} == {"63016"}


def test_a_wish_that_nothing_meets_is_refused() -> None:
    """MMS is not sent to Germany."""
    with pytest.raises(ValueError, match="nothing is sent by mms to DE"):
        population(1, Wanted(channels=["mms"], countries=["DE"]))
