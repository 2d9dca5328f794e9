"""A record: an event or a callback that is set aside; what the receiver has to keep, one way or the other.

``pack`` and ``unpack`` are the spool's form of it: msgpack with the fields by name, so that a later version reads what an earlier one
wrote, and behind it a checksum, because a disk may give back something else than it was given.
"""

from struct import Struct
from typing import Final
from zlib import crc32

import msgspec

from tracker.log.event import NewEvent, Quarantined

Record = NewEvent | Quarantined

_CHECKSUM: Final = Struct("!I")
_KINDS: Final[dict[str, type[Record]]] = {"event": NewEvent, "quarantined": Quarantined}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
_DECODERS: Final = {name: msgspec.msgpack.Decoder(kind) for name, kind in _KINDS.items()}
_ENCODER: Final = msgspec.msgpack.Encoder()


class UnreadableRecordError(Exception):
    """A packed record is not what was once written, or of a kind that this version does not know."""


def pack(record: Record) -> tuple[str, bytes]:
    """The record's kind and its bytes."""
    try:
        packed = _ENCODER.encode(record)
    except UnicodeEncodeError:
        # Half a surrogate pair, which neither UTF-8 nor the log can say: a question mark, as in the log's columns.
        packed = _ENCODER.encode(_replace_surrogates(msgspec.to_builtins(record, builtin_types=(bytes,))))
    return _NAMES[type(record)], packed + _CHECKSUM.pack(crc32(packed))


def unpack(kind: object, data: object) -> Record:
    """The record. Raises UnreadableRecordError, whatever a damaged file gives."""
    if not isinstance(data, bytes) or kind not in _DECODERS:
        raise UnreadableRecordError("it is of no known kind")
    packed = data[: -_CHECKSUM.size]
    if len(data) < _CHECKSUM.size or crc32(packed) != _CHECKSUM.unpack(data[-_CHECKSUM.size :])[0]:
        raise UnreadableRecordError("its checksum is wrong")
    try:
        return _DECODERS[str(kind)].decode(packed)
    except msgspec.DecodeError as error:
        raise UnreadableRecordError(f"{type(error).__name__}: {error}") from error


def unpack_if_readable(kind: object, data: object) -> Record | None:
    """The record; None where ``unpack`` raises."""
    try:
        return unpack(kind, data)
    except UnreadableRecordError:
        return None


def identity(record: Record) -> bytes:
    """The UUID that makes keeping a record twice the same as keeping it once."""
    return record.event_id if isinstance(record, NewEvent) else record.quarantine_id


def _replace_surrogates(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _replace_surrogates(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value
