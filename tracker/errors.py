"""The situations in which this program cannot do what was asked. Each docstring says when; each message says what to do."""


class TrackerError(Exception):
    """Something that the user can mend. The command line prints its message, without a traceback."""


class SettingsError(TrackerError):
    """A setting is wrong or missing. The message names all such settings at once."""


class DatabaseUnavailableError(TrackerError):
    """The database did not take what was to be written within the time allowed, or cannot be reached at all."""


class EmbeddedServerError(TrackerError):
    """The embedded PostgreSQL could not be started or stopped. The message ends with what its log says."""


class NoDatabaseError(TrackerError):
    """A command that only reads found no database. The message names the directory where it looked."""


class MigrationError(TrackerError):
    """A migration could not be applied; the database is as it was before that migration."""


class LogHeadMissingError(TrackerError):
    """The table log_head is empty: nothing can be appended, and no position is the last. The message says how to restore the row."""

    def __init__(self) -> None:
        super().__init__(
            "The row of the table log_head is missing, so nothing can be appended. Restore it as the owner of the schema:"
            " INSERT INTO log_head (position) SELECT coalesce(max(position), 0) FROM events"
        )


class RecordsRefusedError(TrackerError):
    """The database is there, and refuses this batch for what is in it."""


class SpoolUnavailableError(TrackerError):
    """The local disk did not take what was to be written: it is full, at its limit, or broken. The message names the file."""


class SpoolFullError(SpoolUnavailableError):
    """The spool is at its limit, and the disk has room: the database has been away for long. The message says how much the spool holds."""


class SpoolDamagedError(TrackerError):
    """A spool file is no longer what was written: it is to be set aside, and what is readable to be saved."""


class RebuildError(TrackerError):
    """A rebuild cannot go on. The live tables are as they were, and what was filled is kept for the next attempt."""
