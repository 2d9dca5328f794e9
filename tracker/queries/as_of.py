"""Which events count when a question is asked "as of" a moment, on one of two clocks."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from projections.fold.message import Said
from tracker.log.event import Event
from tracker.twilio.done_date import happened_at


class Clock(StrEnum):
    """When an event counts as having been."""

    KNOWN = "known"
    """When it reached us: what we could have answered at that moment."""
    HAPPENED = "happened"
    """When the carrier reports that it was done, where it gave a date (to the minute, read as UTC, though carriers differ in time
    zone), but never after it reached us. Without a date, when it reached us."""


class AsOf(NamedTuple):
    """A moment on a clock."""

    moment: datetime
    clock: Clock = Clock.KNOWN


def time_of(event: Event | Said, clock: Clock) -> datetime:
    """The event's time on that clock."""
    return happened_at(event.raw_dlr_done_date, event.received_at) if clock is Clock.HAPPENED else event.received_at
