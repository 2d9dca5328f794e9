"""RFC 3339, and only that."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.queries.times import InvalidTimeError, format_time, parse_shown_time, parse_time

OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=OFFSETS))
def test_every_time_is_read_as_python_writes_it(moment: datetime) -> None:
    """With any offset, and also where its plus came as a space, as in an unescaped query."""
    written = moment.isoformat()
    assert parse_time(written) == moment
    assert parse_time(written.replace("+", " ")) == moment
    assert parse_time(written).tzinfo is UTC


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=OFFSETS))
def test_what_is_written_is_read_again(moment: datetime) -> None:
    """Always in UTC with a Z, without digits that say nothing."""
    written = format_time(moment)
    assert written.endswith("Z")
    assert not written.endswith("0Z") or "." not in written
    assert parse_time(written) == moment


@given(st.text(max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    """Anything is a time or an InvalidTimeError."""
    with suppress(InvalidTimeError):
        assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01t12:00:00z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01 12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        (" 2026-03-01T12:00:00Z\n", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00.1234569Z", datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)),
        ("2026-03-01T12:00:00-00:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-12-31T23:59:60Z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2024-02-29T00:00:00-23:59", datetime(2024, 2, 29, 23, 59, tzinfo=UTC)),
    ],
)
def test_what_is_a_time(text: str, moment: datetime) -> None:
    """The forms that RFC 3339 allows, leap seconds included; more digits than the log has are dropped."""
    assert parse_time(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2026", "2026-03-01", "2026-03-01T12:00Z", "2026-03-01T12:00:00", "12:00:00Z", "20260301T120000Z"),
        *("2026-03-01T12:00:00+0200", "2026-03-01T12:00:00+02", "2026-03-01T12:00:00.Z", "2026-03-01T12:00:00,5Z"),
        *(
            "2026-02-29T12:00:00Z",
            "2026-03-01T24:00:00Z",
            "2026-03-01T12:60:00Z",
            "2026-03-01T12:00:61Z",
            "0000-01-01T00:00:00Z",
        ),
        *(
            "2026-03-01T12:00:00+24:00",
            "2026-03-01T12:00:00+02:60",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:00-00:01",
        ),
        *(
            "2026-W10-7T12:00:00Z",
            "2026-03-01T12:00:00 UTC",
            "2026-03-01T12:00:00ZZ",
            "２０２６-03-01T12:00:00Z",
            "1772366400",
        ),
    ],
)
def test_what_is_no_time(text: str) -> None:
    """Refused with what is expected: no date alone, no local time, no other of ISO 8601's forms."""
    with pytest.raises(InvalidTimeError, match="expected an RFC 3339 time with its offset, such as"):
        parse_time(text)


@pytest.mark.parametrize("text", ["noon", "2026-03-01", "2026-02-29 12:00", "01.03.2026 12:00"])
def test_a_person_is_told_of_the_short_form(text: str) -> None:
    """Where a time as pages show it is accepted, the advice names that form, and the form is accepted."""
    with pytest.raises(InvalidTimeError, match="or a time in UTC such as 2026-03-01 12:00:05$"):
        parse_shown_time(text)
    assert parse_shown_time("2026-03-01 12:00:05") == datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
