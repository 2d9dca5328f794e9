"""The cursor of a list: where a page ended, as a text without meaning for the client."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from struct import Struct, error
from typing import Final, NamedTuple
from zlib import crc32

from tracker.twilio.callback import MESSAGE_SID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION: Final = 2
"""First byte of a cursor. Cursors without an account began with 0; they are refused, because they may skip a message."""
_FIXED: Final = Struct("!Bq34s")
"""Version, microseconds since 1970, message SID. The account follows: UTF-8, of any length."""
_CHECK_BYTES: Final = 3
"""Enough to detect a mistyped cursor."""


class Place(NamedTuple):
    """The last message of a page, in the order of the list."""

    first_received_at: datetime
    message_sid: str
    account_sid: str
    """Empty for none. Two accounts may have a message of one SID that was first received in the same microsecond."""


class InvalidCursorError(ValueError):
    """A text is no cursor that ``encode`` gave."""


def encode(place: Place) -> str:
    """A text that needs no escaping in a URL: 107 characters with a usual account SID."""
    microseconds = (place.first_received_at - _EPOCH) // timedelta(microseconds=1)
    packed = _FIXED.pack(_VERSION, microseconds, place.message_sid.encode()) + place.account_sid.encode()
    return base64.urlsafe_b64encode(packed + _check(packed)).decode().rstrip("=")


def decode(text: str) -> Place:
    """The place. Raises InvalidCursorError."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        packed = data[:-_CHECK_BYTES]
        version, microseconds, sid = _FIXED.unpack_from(packed)
        account = packed[_FIXED.size :].decode()
        place = Place(_EPOCH + timedelta(microseconds=microseconds), sid.decode("ascii"), account)
    except (ValueError, OverflowError, binascii.Error, error):
        raise InvalidCursorError from None
    # PostgreSQL stores no NUL character. A text that base64 reads as the same bytes is no cursor either.
    if version != _VERSION or MESSAGE_SID.fullmatch(place.message_sid) is None or "\0" in account:
        raise InvalidCursorError
    if encode(place) != text:
        raise InvalidCursorError
    return place


def _check(packed: bytes) -> bytes:
    return crc32(packed).to_bytes(4, "big")[:_CHECK_BYTES]
