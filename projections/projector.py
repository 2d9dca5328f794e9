"""The projector as a process: run the runner, and start it again when the database went away."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from uuid import UUID

import psycopg
import structlog

from projections.projection import Projection
from projections.registry import PROJECTIONS
from projections.runner import BATCH_EVENTS, CheckpointMovedError, Runner
from tracker.garbage import rare_collections

_log = structlog.get_logger()

POLL_SECONDS = 0.5
"""How long a missed notification may delay the projections."""

GATHER_SECONDS = 0.02
"""How long events are let gather after the first one of a quiet time."""

BUSY_EVENTS = 20
"""From so many events a batch on, ..."""

BUSY_GATHER_SECONDS = 0.25
"""... they are let gather for so long: the statuses of one message, and what adds to one counter, then cost one write. Nobody waits
for it: an answer about a message is folded from the log itself."""

LOCK_SECONDS = 1.0
"""How often a runner that waits for its turn asks again."""

LAST_SECONDS = 2.0
"""How long a projector that was told to stop goes on with what is in the log."""

MAX_RETRY_SECONDS = 5.0
"""The longest pause between attempts to reach the database."""


class StopCondition(Protocol):
    """Tells the projector to stop: ``StopSignals`` in a process, a ``threading.Event`` in a test."""

    def is_set(self) -> bool:
        """Whether to stop."""
        ...

    def wait(self, seconds: float, /) -> bool:
        """Wait so many seconds, less when it is time to stop. Returns ``is_set()``."""
        ...


def project(
    conninfo: str,
    instance_id: UUID,
    stop: "StopCondition",
    on_active: Callable[[], object] = lambda: None,
    *,
    projections: Sequence[Projection[Any]] = PROJECTIONS,
) -> None:
    """Keep the projections until ``stop`` is set. on_active: called whenever this process became the active runner."""
    pause = 0.1
    with rare_collections(50_000):
        while not stop.is_set():
            try:
                with psycopg.connect(conninfo, autocommit=True) as connection:
                    pause = 0.1
                    _run(Runner(connection, projections), instance_id, stop, on_active)
            except (psycopg.Error, CheckpointMovedError) as error:
                _log.warning("runner.interrupted", reason=f"{type(error).__name__}: {error}", retry_seconds=pause)
                stop.wait(pause)
                pause = min(pause * 2, MAX_RETRY_SECONDS)


def catch_up(conninfo: str, instance_id: UUID) -> bool:
    """Take everything in that is in the log now. False: another runner is active, and does so itself."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        runner = Runner(connection, PROJECTIONS)
        if not runner.try_to_start(instance_id):
            return False
        while runner.run_once():
            pass
        return True


def _run(runner: Runner, instance_id: UUID, stop: "StopCondition", on_active: Callable[[], object]) -> None:
    waiting_since = time.monotonic()
    while not runner.try_to_start(instance_id):
        if waiting_since:
            _log.info("runner.waiting", reason="another runner is active")
            waiting_since = 0.0
        if stop.wait(LOCK_SECONDS):
            return
    on_active()
    while not stop.is_set():
        events = runner.run_once()
        if events == 0:
            runner.wait(POLL_SECONDS)
        if events < BATCH_EVENTS:
            stop.wait(BUSY_GATHER_SECONDS if events >= BUSY_EVENTS else GATHER_SECONDS)
    # The web workers have stopped before: what they appended last must not wait for the next start.
    deadline = time.monotonic() + LAST_SECONDS
    while runner.run_once() and time.monotonic() < deadline:
        pass
