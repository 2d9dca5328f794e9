"""Logs: one event a line on standard error, JSON for machines, readable on a terminal, and nothing in them that should not be.

Events are named ``component.past_participle``. A line that concerns a message carries ``message_sid``.
"""

import logging
import re
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_SECRET_KEYS: Final = frozenset({"authorization", "body", "password", "secret", "signature", "token"})
_NUMBER: Final = re.compile(r"(?:\+|%2B)[0-9]{4}[0-9]{3,11}")
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^:/@\s]*):[^@\s/]+@")


# Without the variables of each frame: they are bodies, signatures and numbers.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure_logging(log_format: str = "auto") -> None:
    """Set up structlog, and the standard library's logging behind the same processors.

    log_format: ``json``, ``console``, or ``auto`` for console on a terminal and JSON elsewhere.
    """
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    rendered: list[Processor] = (
        [
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
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered]
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001  # structlog's signature
    """Take out what must not be in a log: secrets by key, phone numbers and URL passwords wherever they stand in a text."""
    for key, value in event.items():
        if key in _SECRET_KEYS:
            event[key] = "[redacted]"
        else:
            event[key] = _redact_value(value)
    return event


def _redact_value(value: object) -> object:
    """A value without numbers and passwords; containers (tracebacks) are gone through."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {key: _redact_value(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_redact_value(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def mask(text: str) -> str:
    """Phone numbers cut to their first digits, and passwords in URLs taken out."""
    text = _NUMBER.sub(lambda number: number[0][: 5 if number[0][0] == "+" else 7] + "…", text)
    return _URL_PASSWORD.sub(r"\1:[redacted]@", text)
