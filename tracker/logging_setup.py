"""Logs: one event per line on standard error, JSON for machines, readable on a terminal, without secrets and phone numbers.

Events are named ``component.past_participle``. A line that concerns a message carries ``message_sid``.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO, cast

import structlog
from dotenv import dotenv_values
from structlog.typing import EventDict, Processor, WrappedLogger

from tracker.output import LogStream

_SECRET_KEYS: Final = frozenset({"authorization", "body", "password", "secret", "signature", "token"})
"""Last words of names whose values are secret: ``token`` also stands for ``auth_tokens`` and ``X-Api-Token``."""

_LAST_WORD: Final = re.compile(r"([a-z]+?)s?$")
_PLUS: Final = r"(?:\+|%(?:25)*2B|\\+u002B|\\+x2B|&#(?:43|x2B);|&plus;)"
"""A plus sign as it is, and as URLs (any number of times), JSON, Python and HTML escape it."""

_NUMBER: Final = re.compile(rf"({_PLUS}[0-9]{{4}})[0-9]{{3,11}}", re.IGNORECASE)
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^:/@\s]*):[^@\s/]+@")
_PLAIN: Final = (int, float, type(None))

POOL_SECONDS: Final = 60.0
"""Time between two lines of the same kind from psycopg's pool, which complains at every attempt to connect."""


# Without the variables of each frame: they are bodies, signatures and numbers.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def read_log_format() -> str:
    """``TRACKER_LOG_FORMAT`` before the settings are read, so that every command logs in it; ``auto`` where it is wrong or unset."""
    given = os.environ.get("TRACKER_LOG_FORMAT") or dotenv_values(".env").get("TRACKER_LOG_FORMAT")
    return given if given in {"json", "console"} else "auto"


def configure_logging(log_format: str = "auto") -> None:
    """Set up structlog, and the standard library's logging behind the same processors.

    log_format: ``json``, ``console``, or ``auto`` for console on a terminal and JSON elsewhere.
    """
    stderr = LogStream(_report_dropped_lines)
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    rendered: list[Processor] = (
        [
            # Before redaction: the text of an exception may hold a number.
            structlog.processors.format_exc_info,
            redact,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
        if console
        else [_TRACEBACKS, redact, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", stderr)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered]
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("psycopg.pool").addFilter(_POOL_LINES)


def _report_dropped_lines(count: int) -> None:
    """Log through the standard library: structlog's logger holds its lock, which is not reentrant, while it writes a line."""
    logging.getLogger(__name__).warning("%d log lines were dropped: the log could not be written", count)


class RepeatedLines(logging.Filter):
    """Lets one line of each kind through per interval, and adds to the next one how many were held back.

    A kind is a message before its arguments are put in: a constant of the code that logs it, so there are few.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """seconds: the interval. clock: seconds from any origin."""
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._next: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written. Its message is changed where others were held back before it."""
        kind, now = str(record.msg), self._clock()
        if now < self._next.get(kind, now):
            self._held[kind] = self._held.get(kind, 0) + 1
            return False
        self._next[kind] = now + self._seconds
        if held := self._held.pop(kind, 0):
            record.msg = f"{kind} (and {held} more like it)"
        return True


_POOL_LINES: Final = RepeatedLines(POOL_SECONDS)
"""One for the process, so that a second call of ``configure_logging`` adds no second one."""


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001  # structlog's signature
    """Remove what must not be in a log: secrets by key, phone numbers and passwords in URLs wherever they stand in a text.

    Numbers stay under every key: they are counts, such as those of refused callbacks by reason (``bad_signature``).
    """
    for key, value in event.items():
        # structlog's own, for the standard library's records: objects that are removed before anything is written.
        if key not in {"_record", "_from_structlog", "exc_info"}:
            event[key] = _redact_item(key, value)
    return event


def _redact_item(key: object, value: object) -> object:
    return "[redacted]" if _is_secret(key) and not isinstance(value, _PLAIN) else _redact_value(value)


def _is_secret(key: object) -> bool:
    word = _LAST_WORD.search(key.lower()) if isinstance(key, str) else None
    return word is not None and (word[1] in _SECRET_KEYS or word[0] in _SECRET_KEYS)


def _redact_value(value: object) -> object:
    """The value without numbers and secrets. Containers are searched; what is neither text nor number becomes text."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {
            _redact_value(key): _redact_item(key, item) for key, item in cast("dict[object, object]", value).items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_value(item) for item in cast("list[object]", value)]
    if isinstance(value, bytes):
        return mask(value.decode("utf-8", "backslashreplace"))
    return value if isinstance(value, _PLAIN) else mask(str(value))


def mask(text: str) -> str:
    """The text with phone numbers cut to their first four digits, and without passwords in URLs."""
    return _URL_PASSWORD.sub(r"\1:[redacted]@", _NUMBER.sub(r"\1…", text))
