"""Life cycles and their error codes."""

import random

import pytest

from tracker.simulate.world.error_mix import draw_error_code, error_mix
from tracker.simulate.world.life_cycles import CHANNELS, LIFE_CYCLES, Channel, draw_life_cycle
from tracker.twilio.error_codes import find
from tracker.web.pages.chart import OBJECTIVE

DOCUMENTED = {"sending", "sent", "delivered", "undelivered", "failed", "canceled", "read"}


@pytest.mark.parametrize("channel", CHANNELS)
def test_life_cycles_are_made_of_documented_callbacks(channel: Channel) -> None:
    """No status outside Twilio's list; ``read`` and fallback only where the channel has them; codes on failures only."""
    for life_cycle in LIFE_CYCLES[channel]:
        assert {step.status for step in life_cycle.steps} <= DOCUMENTED
        assert not any(step.fails for step in life_cycle.steps if step.status not in {"failed", "undelivered"})
        if channel in {"sms", "mms"}:
            assert all(step.status != "read" for step in life_cycle.steps)
        assert channel == "rcs" or not life_cycle.falls_back
        assert life_cycle.service or all(step.status != "canceled" for step in life_cycle.steps)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_of_failures_is_the_one_asked_for(channel: Channel, share: float) -> None:
    """Of 4,000 messages, within two points; exactly none and all at the ends."""
    rng = random.Random(7)
    failed = sum(draw_life_cycle(rng, channel, share).fails for _ in range(4000)) / 4000
    assert failed == pytest.approx(share, abs=0.02 if 0 < share < 1 else 0)


@pytest.mark.parametrize("channel", CHANNELS)
def test_without_a_wish_messages_fail_less_often_than_the_objective_allows(channel: Channel) -> None:
    """Two or three in a hundred: a plausible account, which the overview does not show in red."""
    rng = random.Random(7)
    failed = sum(draw_life_cycle(rng, channel, None).fails for _ in range(4000)) / 4000
    assert 0.015 < failed < 1 - OBJECTIVE - 0.015


def test_a_corrected_message_did_not_fail() -> None:
    """Undelivered, then delivered: it reached its recipient, so a share of failures does not count it."""
    corrected = next(life_cycle for life_cycle in LIFE_CYCLES["sms"] if life_cycle.name == "corrected")
    assert not corrected.fails


@pytest.mark.parametrize("country", ["US", "DE"])
@pytest.mark.parametrize("status", ["failed", "undelivered"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_error_codes_are_drawn_from_a_mix_of_known_ones(channel: Channel, status: str, country: str) -> None:
    """Each code of the mix is in the dictionary, and all of them come up."""
    mix = error_mix(channel, status, country)
    assert [code for code in mix if find(code) is None] == []
    rng = random.Random(3)
    assert {draw_error_code(rng, channel, status, country) for _ in range(3000)} == set(mix)


def test_only_senders_to_us_numbers_want_registration() -> None:
    """30034 (10DLC, unregistered number) is a matter of US carriers."""
    assert "30034" in error_mix("sms", "undelivered", "US")
    assert "30034" not in error_mix("sms", "undelivered", "DE")
