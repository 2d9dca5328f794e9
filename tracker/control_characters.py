r"""Visible escapes for characters that steer a terminal or reorder a line.

Twilio passes on what senders and carriers wrote: a status, a name or a body may hold an escape sequence or a bidirectional override.
The log keeps the exact bytes; everything that a person looks at shows such characters as ``\u009b``.
"""

import re
from typing import Final

_UNSAFE: Final = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks, embeddings, overrides and isolates
    "\u2028\u2029"  # line and paragraph separators
)
_CHARACTER: Final = re.compile(f"[{_UNSAFE}]")
_BEYOND_ASCII: Final = re.compile("[\x7f\x80-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]")
_OCTETS: Final = re.compile(
    b"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]",
)
"""The same characters in UTF-8, without C0, which JSON escapes by itself."""


def escape_controls(text: str) -> str:
    """The text with each such character as a backslash, a ``u`` and four hexadecimal digits."""
    return _CHARACTER.sub(_escape, text)


def escape_json(document: str) -> str:
    """A JSON document of the same value without such characters. Indentation stays: outside of strings JSON has no others."""
    return _BEYOND_ASCII.sub(_escape, document)


def escape_json_octets(document: bytes) -> bytes:
    """``escape_json`` for a document in UTF-8."""
    return _OCTETS.sub(lambda found: _escape_character(found[0].decode()).encode(), document)


def _escape(found: re.Match[str]) -> str:
    return _escape_character(found[0])


def _escape_character(character: str) -> str:
    return f"\\u{ord(character):04x}"
