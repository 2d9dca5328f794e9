"""Which events count when a question is asked "as of" a moment, on one of two clocks."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from tracker.log.event import Event
from tracker.twilio.done_date import credible_done_date


class Clock(StrEnum):
    """When an event counts as having been."""

    KNOWN = "known"
    """When it reached us: what we could have answered at that moment."""
    HAPPENED = "happened"
    """When the carrier says it was done, where it gave a date that can be believed (to the minute, read as UTC, though
    carriers differ in time zone); otherwise when it reached us."""


class AsOf(NamedTuple):
    """A moment on a clock."""

    moment: datetime
    clock: Clock = Clock.KNOWN

    def includes(self, event: Event) -> bool:
        """Whether the event counts: it was at this moment, or before."""
        return time_of(event, self.clock) <= self.moment


def time_of(event: Event, clock: Clock) -> datetime:
    """The event's time on that clock."""
    if clock is Clock.HAPPENED and event.raw_dlr_done_date is not None:
        return credible_done_date(event.raw_dlr_done_date, event.received_at) or event.received_at
    return event.received_at


def first_time(events: Sequence[Event], clock: Clock) -> datetime:
    """The first moment at which one of these events, of which there is at least one, counts."""
    return min(time_of(event, clock) for event in events)
