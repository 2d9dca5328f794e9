"""``RawDlrDoneDate``, which carriers fill as they like."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.twilio.done_date import (
    MAX_AHEAD,
    MAX_BEFORE,
    credible_from,
    happened_at,
    latest_start,
    parse_done_date,
    wall_clock_of,
)

RECEIVED_AT = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)

DATES = {
    "absent": (None, None),
    "empty": ("", None),
    "a date": ("2611231529", datetime(2026, 11, 23, 15, 29, tzinfo=UTC)),
    "the first of the century": ("0001010000", datetime(2000, 1, 1, tzinfo=UTC)),
    "1970, which two digits cannot say": ("7001010000", datetime(2070, 1, 1, tzinfo=UTC)),
    "2099": ("9912312359", datetime(2099, 12, 31, 23, 59, tzinfo=UTC)),
    "a leap day": ("2402290000", datetime(2024, 2, 29, tzinfo=UTC)),
    "no leap day": ("2302290000", None),
    "zeros": ("0000000000", None),
    "month 13": ("2613011200", None),
    "day 32": ("2611321200", None),
    "hour 24": ("2611232400", None),
    "minute 60": ("2611231260", None),
    "five digits": ("26112", None),
    "with seconds": ("261123152959", None),
    "with a century": ("202611231529", None),
    "letters": ("26Nov23152", None),
    "ISO 8601": ("2026-11-23T15:29:00Z", datetime(2026, 11, 23, 15, 29, tzinfo=UTC)),
    "ISO 8601 with nanoseconds": (
        "2026-11-23T15:29:01.123456789Z",
        datetime(2026, 11, 23, 15, 29, 1, 123456, tzinfo=UTC),
    ),
    "ISO 8601 with an offset": ("2026-11-23T20:59:00+05:30", datetime(2026, 11, 23, 15, 29, tzinfo=UTC)),
    "ISO 8601 without a zone, to the minute": ("2026-11-23 15:29", datetime(2026, 11, 23, 15, 29, tzinfo=UTC)),
    "ISO 8601 of no day": ("2026-02-30T15:29:00Z", None),
    "ISO 8601 with text behind": ("2026-11-23T15:29:00Z;", None),
    "an offset that leaves the calendar": ("0001-01-01T00:00:00+14:00", None),
    "a day alone": ("2026-11-23", None),
    "a sign": ("+611231529", None),
    "spaces": (" 611231529", None),
    "a newline behind": ("2611231529\n", None),
    "digits of another script": ("٢٦١١٢٣١٥٢٩", None),
    "full-width digits": ("２６１１２３１５２９", None),
    "superscripts": ("²⁶¹¹²³¹⁵²⁹", None),
}


@pytest.mark.parametrize(("raw", "expected"), DATES.values(), ids=DATES.keys())
def test_a_done_date_is_read(raw: str | None, expected: datetime | None) -> None:
    """As UTC in this century, or not at all."""
    assert parse_done_date(raw) == expected


WALL_CLOCKS = {
    "absent": (None, None),
    "no date": ("2613011200", None),
    "a date": ("2611242053", "2026-11-24T20:53"),
    "ISO 8601": ("2026-11-24T20:53:00Z", "2026-11-24T20:53"),
    "with seconds": ("2026-11-24T20:53:07.5+05:30", "2026-11-24T20:53:07"),
}


@pytest.mark.parametrize(("raw", "expected"), WALL_CLOCKS.values(), ids=WALL_CLOCKS.keys())
def test_the_wall_clock_names_no_time_zone(raw: str | None, expected: str | None) -> None:
    """Carriers do not say which one they mean, and a Z would claim that they do."""
    assert wall_clock_of(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("2611231529", RECEIVED_AT - timedelta(minutes=1)),
        ("2611231530", RECEIVED_AT),
        ("2611231531", RECEIVED_AT),
        ("9912312359", RECEIVED_AT),
        ("2613011200", RECEIVED_AT),
        (None, RECEIVED_AT),
    ],
)
def test_nothing_happened_after_it_was_reported(raw: str | None, expected: datetime) -> None:
    """A later date is that of a clock in the east, or a wrong one."""
    assert happened_at(raw, RECEIVED_AT) == expected


@pytest.mark.parametrize(("minutes", "ahead"), [(0, False), (15 * 60, False), (15 * 60 + 1, True), (-99_999, False)])
def test_a_date_is_ahead_beyond_the_bound(minutes: int, ahead: bool) -> None:
    """At exactly 15 hours it is not."""
    believed_from = credible_from(RECEIVED_AT + timedelta(minutes=minutes))
    assert believed_from is not None
    assert (believed_from > RECEIVED_AT) is ahead


def test_a_date_at_the_beginning_of_the_calendar_is_never_ahead() -> None:
    """No moment lies 15 hours before it."""
    beginning = datetime.min.replace(tzinfo=UTC)
    assert credible_from(beginning + MAX_AHEAD - timedelta(minutes=1)) is None
    assert credible_from(beginning + MAX_AHEAD) == beginning


def test_a_date_at_the_end_of_the_calendar_is_never_too_early() -> None:
    """No moment lies 26 hours after it."""
    end = datetime.max.replace(tzinfo=UTC)
    assert latest_start(end - MAX_BEFORE) == end
    assert latest_start(end - MAX_BEFORE + timedelta(microseconds=1)) is None


@given(st.text() | st.text("0123456789", min_size=10, max_size=10) | st.from_regex("[0-9TZ:.+-]{1,40}", fullmatch=True))
def test_reading_never_raises(raw: str) -> None:
    """And what is read is in UTC."""
    date = parse_done_date(raw)
    assert date is None or date.tzinfo is UTC
    assert (wall_clock_of(raw) is None) or "Z" not in (wall_clock_of(raw) or "")


@given(st.text("0123456789", min_size=10, max_size=10))
def test_ten_digits_are_read_as_they_are_written(raw: str) -> None:
    """Whatever they are, they give the date that they spell or none."""
    date = parse_done_date(raw)
    assert date is None or date.strftime("%y%m%d%H%M") == raw


@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC)))  # hypothesis adds the zone
def test_every_minute_of_the_century_can_be_stated(moment: datetime) -> None:
    """In both forms; and no bound cuts off a zone of the earth that is east of UTC."""
    minute = moment.replace(second=0, microsecond=0)
    assert parse_done_date(moment.strftime("%y%m%d%H%M")) == parse_done_date(minute.isoformat()) == minute
    assert parse_done_date(moment.isoformat()) == moment
    believed_from = credible_from(minute + timedelta(hours=14))
    assert believed_from is not None
    assert believed_from <= minute
    assert timedelta(hours=14) < MAX_AHEAD
