"""A record in the spool's form comes back as it was, or not at all."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import EVIDENCE, new_event, quarantined
from tracker.log.event import Evidence, NewEvent, Quarantined
from tracker.log.record import Record, UnreadableRecordError, identity, pack, unpack
from tracker.twilio.callback import Callback

TEXT = st.text(st.characters(codec="utf-8"))
MAYBE = st.none() | TEXT
EVIDENCES = st.builds(Evidence, TEXT, st.binary(), TEXT, MAYBE, TEXT)
CALLBACKS = st.builds(Callback, MAYBE, TEXT, TEXT, MAYBE, MAYBE, TEXT, MAYBE, MAYBE, MAYBE)
TIMES = st.integers(-(2**63), 2**63 - 1)
IDENTITIES = st.binary(min_size=16, max_size=16)
RECORDS = st.builds(NewEvent, IDENTITIES, TIMES, CALLBACKS, EVIDENCES) | st.builds(
    Quarantined, IDENTITIES, TIMES, TEXT, EVIDENCES
)


@given(RECORDS)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    """Every field of it, of either kind."""
    assert unpack(*pack(record)) == record


@given(RECORDS, st.data())
def test_a_record_that_was_altered_does_not_come_back(record: Record, data: st.DataObject) -> None:
    """A byte changed, or the end cut off: the checksum tells."""
    kind, packed = pack(record)
    at = data.draw(st.integers(0, len(packed) - 1))
    other = data.draw(st.integers(1, 255))
    changed = packed[:at] + bytes([packed[at] ^ other]) + packed[at + 1 :]
    for damaged in (changed, packed[:at]):
        with pytest.raises(UnreadableRecordError):
            unpack(kind, damaged)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("event", None),
        ("event", "text"),
        ("event", b""),
        ("event", 7),
        (None, b"\x80\0\0\0\0"),
        ("of tomorrow", pack(new_event())[1]),
    ],
)
def test_whatever_a_damaged_file_gives_is_an_error_of_ours(kind: object, data: object) -> None:
    """SQLite may give back any type."""
    with pytest.raises(UnreadableRecordError):
        unpack(kind, data)


def test_half_a_surrogate_pair_costs_a_character_and_not_the_event() -> None:
    """As the log's columns have it: UTF-8 cannot say it."""
    evidence = msgspec.structs.replace(EVIDENCE, url="https://example.com/\ud800")
    kept = unpack(*pack(new_event(evidence=evidence)))
    assert kept.evidence == msgspec.structs.replace(EVIDENCE, url="https://example.com/?")


def test_a_record_of_an_earlier_version_is_read() -> None:
    """Fields are kept by name: one that has come since has its default."""
    kind, packed = pack(new_event())
    fields = msgspec.msgpack.decode(packed[:-4])
    assert set(fields) == {"event_id", "received_at", "callback", "evidence", "source"}
    assert kind == "event"


def test_identity_is_what_makes_a_repetition_harmless() -> None:
    """The UUID that the record was given at our edge."""
    event, callback = new_event(), quarantined()
    assert identity(event) == event.event_id
    assert identity(callback) == callback.quarantine_id
