"""What a spool holds, as it is read from the file and said of it."""

import msgspec

from tracker.log.record import Record


class Spooled(msgspec.Struct, frozen=True):
    """A record in the journal."""

    sequence: int
    record: Record | None
    """None: what the disk gives back is not what was written."""


class Refusal(msgspec.Struct, frozen=True):
    """The database does not take the record with this sequence."""

    sequence: int
    reason: str


class SpoolSize(msgspec.Struct, frozen=True):
    """How much a spool holds."""

    events: int = 0
    """In the journal: they wait for the database."""
    refused: int = 0
    """Records that the database refused."""
    bytes: int = 0
    """Of the file's pages in use; 0 for an empty spool."""
