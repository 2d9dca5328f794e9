"""Arrays in PostgreSQL's binary format, read back by a real server."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.database import PostgresForTests
from tracker.log.event import from_microseconds
from tracker.postgres.binary_arrays import (
    BYTEA_OID,
    UUID_OID,
    PackedArray,
    join,
    pack_bool,
    pack_bytes,
    pack_datetimes,
    pack_few,
    pack_int8,
    pack_text,
    pack_times,
    register_packed_arrays,
)

storable = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
"""What PostgreSQL takes as text."""
microseconds = st.integers(
    int(datetime(1, 1, 2, tzinfo=UTC).timestamp()) * 1_000_000,
    int(datetime(9999, 12, 30, tzinfo=UTC).timestamp()) * 1_000_000,
)


@pytest.fixture(scope="module")
def packed(postgres: PostgresForTests) -> Iterator[psycopg.Connection[Any]]:
    """A connection that takes PackedArray."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        register_packed_arrays(connection)
        yield connection


def echo(connection: psycopg.Connection[Any], array: PackedArray) -> tuple[list[Any], str]:
    """What the server takes the array for: its elements, and its type."""
    row = connection.execute("SELECT %b, pg_typeof(%b)::text", (array, array)).fetchone()
    assert row is not None
    return row


@given(st.lists(st.none() | storable))
@example([])
@example([None])
@example(["", None, "é✓😀", "x" * 1023, "x" * 1024, "é" * 40_000])
def test_text(packed: psycopg.Connection[Any], values: list[str | None]) -> None:
    """Of any length, any Unicode, and NULL."""
    assert echo(packed, pack_text(values)) == (values, "text[]")


@given(st.lists(st.none() | storable) | st.lists(st.sampled_from(["a", "b", None])))
@example([None, None, None])
@example(["a", "b", "a"])
@example(["", ""])
def test_text_of_few_values(packed: psycopg.Connection[Any], values: list[str | None]) -> None:
    """The same array, whether the values are all equal, only the first and the last, or all different."""
    assert echo(packed, pack_few(values)) == (values, "text[]")


@given(st.lists(st.booleans()))
@example([True, False, True])
@example([False, False, False])
def test_boolean(packed: psycopg.Connection[Any], values: list[bool]) -> None:
    """Whether the values are all equal, only the first and the last, or mixed."""
    assert echo(packed, pack_bool(values)) == (values, "boolean[]")


@given(st.lists(st.integers(-(2**63), 2**63 - 1)) | st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
@example([-(2**63), -1, 0, 1, 258, 2**63 - 1])
@example([1, None])
def test_bigint(packed: psycopg.Connection[Any], values: list[int | None]) -> None:
    """Both ends of the range, with NULL and without."""
    assert echo(packed, pack_int8(values)) == (values, "bigint[]")


@given(st.lists(st.none() | microseconds) | st.lists(microseconds))
@example([0, None, 946_684_800_000_000])
def test_timestamptz_from_datetimes(packed: psycopg.Connection[Any], values: list[int | None]) -> None:
    """To the microsecond, with NULL and without."""
    moments = [None if value is None else from_microseconds(value) for value in values]
    assert echo(packed, pack_datetimes(moments)) == (moments, "timestamp with time zone[]")


@given(st.lists(st.lists(st.none() | storable), min_size=1, max_size=5))
def test_arrays_are_joined(packed: psycopg.Connection[Any], parts: list[list[str | None]]) -> None:
    """All elements in their order, those of empty arrays too."""
    assert echo(packed, join([pack_text(part) for part in parts])) == (
        [each for part in parts for each in part],
        "text[]",
    )


def test_text_that_utf8_cannot_say(packed: psycopg.Connection[Any]) -> None:
    """Half a surrogate pair becomes a question mark: a batch must not fail for it."""
    assert echo(packed, pack_text(["a\ud800b"])) == (["a?b"], "text[]")


@given(st.lists(st.binary()))
@example([b"", b"\0", b"x" * 70_000])
def test_bytea(packed: psycopg.Connection[Any], values: list[bytes]) -> None:
    """Exact bytes."""
    assert echo(packed, pack_bytes(BYTEA_OID, values)) == (values, "bytea[]")


@given(st.lists(st.uuids()))
def test_uuid(packed: psycopg.Connection[Any], values: list[UUID]) -> None:
    """From their sixteen bytes."""
    assert echo(packed, pack_bytes(UUID_OID, [value.bytes for value in values])) == (values, "uuid[]")


@given(st.lists(microseconds))
@example([0, -1, 946_684_800_000_000, 1_795_435_200_123_456])
def test_timestamptz(packed: psycopg.Connection[Any], values: list[int]) -> None:
    """To the microsecond, before and after both epochs."""
    assert echo(packed, pack_times(values)) == (
        [from_microseconds(value) for value in values],
        "timestamp with time zone[]",
    )


@given(st.lists(st.tuples(st.none() | storable, st.binary()), min_size=1))
def test_arrays_of_several_types_in_one_statement(
    packed: psycopg.Connection[Any], rows: list[tuple[str | None, bytes]]
) -> None:
    """Each parameter keeps its own type; a statement that was prepared for one batch takes the next."""
    parameters = {
        "texts": pack_text([text for text, _ in rows]),
        "bodies": pack_bytes(BYTEA_OID, [body for _, body in rows]),
    }
    found = packed.execute(
        "SELECT * FROM unnest(%(texts)b, %(bodies)b)", parameters, prepare=True, binary=True
    ).fetchall()
    assert found == rows
