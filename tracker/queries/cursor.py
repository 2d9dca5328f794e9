"""The cursor of a list: where a page ended, as a text without meaning for the client."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from tracker.twilio.callback import MESSAGE_SID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACE = Struct("!q34s")
_CHECK_BYTES = 3
"""Enough to tell a mistyped cursor; and with them the text needs no padding."""


class Place(NamedTuple):
    """The last message of a page, in the order of the list."""

    first_received_at: datetime
    message_sid: str


class InvalidCursorError(ValueError):
    """A text is no cursor that ``encode`` gave."""


def encode(place: Place) -> str:
    """60 characters that need no escaping in a URL."""
    microseconds = (place.first_received_at - _EPOCH) // timedelta(microseconds=1)
    packed = _PLACE.pack(microseconds, place.message_sid.encode())
    return base64.urlsafe_b64encode(packed + _check(packed)).decode()


def decode(text: str) -> Place:
    """The place. Raises InvalidCursorError."""
    try:
        data = base64.urlsafe_b64decode(text)
        packed, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
        if len(packed) != _PLACE.size or check != _check(packed) or base64.urlsafe_b64encode(data).decode() != text:
            raise InvalidCursorError
        microseconds, sid = _PLACE.unpack(packed)
        place = Place(_EPOCH + timedelta(microseconds=microseconds), sid.decode("ascii"))
    except (ValueError, OverflowError, binascii.Error):
        raise InvalidCursorError from None
    if MESSAGE_SID.fullmatch(place.message_sid) is None:
        raise InvalidCursorError
    return place


def _check(packed: bytes) -> bytes:
    return crc32(packed).to_bytes(4, "big")[:_CHECK_BYTES]
