"""``RawDlrDoneDate``, which carriers fill as they like."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.twilio.done_date import CREDIBLE_AHEAD, credible_done_date, parse_done_date

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
    "ISO 8601": ("2026-11-23", None),
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


CREDIBLE = {
    "before it was received": ("2611231529", True),
    "long before": ("0001010000", True),
    "ahead by a time zone": ("2611240530", True),
    "ahead by two days": ("2611251530", True),
    "ahead by two days and a minute": ("2611251531", False),
    "2099": ("9912312359", False),
    "1970, which reads as 2070": ("7001010000", False),
    "no date": ("2613011200", False),
    "absent": (None, False),
}


@pytest.mark.parametrize(("raw", "credible"), CREDIBLE.values(), ids=CREDIBLE.keys())
def test_a_done_date_in_the_future_is_not_believed(raw: str | None, credible: bool) -> None:
    """A clock that lies would outweigh every later word."""
    assert credible_done_date(raw, RECEIVED_AT) == (parse_done_date(raw) if credible else None)


@given(st.text() | st.text("0123456789", min_size=10, max_size=10))
def test_reading_never_raises(raw: str) -> None:
    """And what is read says what was written."""
    date = parse_done_date(raw)
    if date is not None:
        assert date.strftime("%y%m%d%H%M") == raw
        assert date.tzinfo is UTC


@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC)))  # hypothesis adds the zone
def test_every_minute_of_the_century_can_be_said(moment: datetime) -> None:
    """To the minute, and it is credible when it is received."""
    minute = moment.replace(second=0, microsecond=0)
    assert credible_done_date(moment.strftime("%y%m%d%H%M"), minute) == minute
    assert timedelta(hours=14) < CREDIBLE_AHEAD
