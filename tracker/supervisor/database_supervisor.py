"""Keeps the database there and its schema up to date, in a thread of its own: that may take minutes, and nobody must wait for it.

A given database is only migrated; the embedded server is also started, and started again should it die. What fails is tried again.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg
import structlog

from tracker.errors import DatabaseUnavailableError, EmbeddedServerError, SettingsError, TrackerError
from tracker.postgres.embedded.postmaster import POLL_SECONDS, bury_dead, end_orphans
from tracker.postgres.embedded.server import EmbeddedServer, expected_url
from tracker.postgres.migrations import migrate
from tracker.settings import Settings
from tracker.web.telemetry.faults import find_login_fault

_log = structlog.get_logger()

CHECK_SECONDS: Final = 0.2
"""How often the embedded server is looked after."""

RETRY_SECONDS: Final = 1.0
"""The pause after a failure."""

LOGIN_CHECK_SECONDS: Final = 10.0
"""Pause between two attempts to check the login's rights, while the database does not answer."""

FIRST_WAIT_SECONDS: Final = 30.0
"""Time that a first start waits for a given database that cannot be reached: it may be starting itself."""

END_SECONDS: Final = 8
"""How long the thread may take to end: longer than the programs that it waits for, which are told to give up."""

URGENT_END_SECONDS: Final = 1.0
"""The same when the supervisor ends at once."""


class DatabaseKeeper:
    """From ``start`` to ``stop``."""

    def __init__(self, settings: Settings, *, migrates: bool) -> None:
        """migrates: False where the schema is somebody else's business."""
        self._data_dir = settings.data_dir
        self._is_embedded = settings.database_url is None
        self.url = settings.database_url.get_secret_value() if settings.database_url else expected_url(self._data_dir)
        """Where the database is or will be."""
        self.is_ready = False
        """Whether it has been there, with a schema that is up to date. It may have gone since."""
        self.failure: TrackerError | None = None
        """Of the last attempt; None when it went well, or there has been none."""
        self._has_to_migrate = migrates
        # The embedded server has one login, its superuser.
        self._has_to_check_login = not self._is_embedded
        self._login_check_at = 0.0
        self._started_at = time.monotonic()
        self._server: EmbeddedServer | None = None
        self._resting = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="database-keeper", daemon=True)

    @property
    def fatal_failure(self) -> TrackerError | None:
        """The failure that a first start ends with: any but an unreachable database, and that one after FIRST_WAIT_SECONDS."""
        waits = time.monotonic() - self._started_at < FIRST_WAIT_SECONDS
        return None if waits and isinstance(self.failure, DatabaseUnavailableError) else self.failure

    def start(self) -> None:
        """Begin."""
        self._started_at = time.monotonic()
        self._thread.start()

    def rest(self) -> None:
        """Start nothing any more. What runs goes on running."""
        self._resting.set()

    def stop(self, is_urgent: Callable[[], bool] = lambda: False) -> None:
        """Stop the embedded server, also one that is just starting. is_urgent: asked again and again whether to end it at once, as
        ``EmbeddedServer.stop`` does. Raises EmbeddedServerError when it does not stop."""
        self.rest()
        if not self._is_embedded:
            # A thread that waits for somebody else's database ends with the process.
            return
        if self._server is None:
            # It is being started.
            self._wait_for_thread(is_urgent)
        server = EmbeddedServer.find(self._data_dir)
        if server is not None:
            server.stop(is_urgent)
        elif is_urgent():
            # A cluster that is just being made, or a server that has no lock file yet.
            end_orphans((self._data_dir / "postgres").resolve())

    def _wait_for_thread(self, is_urgent: Callable[[], bool]) -> None:
        """Until the thread has ended, END_SECONDS at most, URGENT_END_SECONDS from when it is urgent."""
        deadline = time.monotonic() + END_SECONDS
        was_urgent = False
        while self._thread.is_alive() and time.monotonic() < deadline:
            self._thread.join(POLL_SECONDS)
            if not was_urgent and is_urgent():
                was_urgent = True
                deadline = min(deadline, time.monotonic() + URGENT_END_SECONDS)

    def _keep(self) -> None:
        while not self._resting.is_set():
            try:
                self._look()
                self.failure = None
            except TrackerError as error:
                self._say(error)
                self.failure = error
            except Exception as error:  # noqa: BLE001  # logged with its traceback, and tried again
                # Such as no descriptor left to look with. This thread's end would be the database's.
                _log.exception("database.not_looked_after")
                self.failure = TrackerError(f"The database cannot be looked after: {type(error).__name__}: {error}")
            else:
                self._resting.wait(CHECK_SECONDS)
                continue
            self._resting.wait(RETRY_SECONDS)

    def _look(self) -> None:
        if self._is_embedded:
            self._look_after_server()
        if self._has_to_migrate:
            migrate(self.url)
            self._has_to_migrate = False
        self.is_ready = True
        if self._has_to_check_login and time.monotonic() >= self._login_check_at:
            self._check_login()

    def _check_login(self) -> None:
        """Log a warning, once, when the login of DATABASE_URL could change the log. Tried again while the database does not answer."""
        try:
            fault = find_login_fault(self.url)
        except psycopg.Error:
            # Those that need the database log why it does not answer.
            self._login_check_at = time.monotonic() + LOGIN_CHECK_SECONDS
            return
        self._has_to_check_login = False
        if fault is not None:
            _log.warning("login.overprivileged", fault=fault.name, reason=fault.reason)

    def _look_after_server(self) -> None:
        if self._server is not None and self._server.is_running:
            return
        if self._server is not None:
            _log.error("database.died", pid=self._server.pid)
            self._server = None
        bury_dead()
        self._server = EmbeddedServer.start(self._data_dir, self._resting.is_set)
        _log.info("database.started", pid=self._server.pid)
        # Those, too, that outlived their postmaster and were ended by the start.
        bury_dead()

    def _say(self, error: TrackerError) -> None:
        """Once, as long as it stays the same."""
        if self._resting.is_set() or _headline(error) == _headline(self.failure):
            return
        event = (
            "database.not_started" if isinstance(error, EmbeddedServerError | SettingsError) else "migration.postponed"
        )
        _log.error(event, reason=str(error))


def _headline(error: TrackerError | None) -> str:
    """Without the end of the server's log, whose lines have the time in them."""
    return str(error).partition("\n")[0]
