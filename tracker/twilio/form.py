"""The form that a callback comes in: ``application/x-www-form-urlencoded``, and what Twilio signs of it.

Twilio adds properties without notice, so every parameter is signed and kept, in whatever order and however often it comes.
"""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Final
from urllib.parse import unquote

import msgspec

_MAX_SHAPES: Final = 256
"""Twilio's callbacks have a few dozen shapes, by channel and status."""

_decode_json = msgspec.json.Decoder(dict[str, str]).decode

_Arrange = Callable[[Mapping[str, str]], tuple[str, ...]]
"""Gives the values in the order in which they are signed."""


class Form(msgspec.Struct, frozen=True, gc=False):
    """What a body says."""

    params: dict[str, str]
    """Each name's first value."""
    signed: str
    """What Twilio signs after the URL."""
    is_known: bool
    """Whether it is of a shape that is remembered."""


class Forms:
    """Reads bodies, quickly those that are of a shape it has been told to remember: the same names in the same order."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[str, ...], tuple[_Arrange, str]] = {}

    def read(self, body: bytes) -> Form:
        """The same for every body as ``parse_form``, ``first_values`` and ``signed_text`` say, which a property test checks."""
        params = _parse_plain(body)
        shape = self._shapes.get(tuple(params)) if params is not None else None
        if params is None or shape is None:
            pairs = parse_form(body)
            return Form(first_values(pairs), signed_text(pairs), is_known=False)
        arrange, template = shape
        return Form(params, template % arrange(params), is_known=True)

    def remember(self, body: bytes) -> None:
        """Read bodies like this one quickly from now on. Only for a body whose signature is right: others' shapes have no end."""
        params = _parse_plain(body)
        if params is None or len(self._shapes) >= _MAX_SHAPES:
            return
        names = sorted(params)
        # Of one name itemgetter would make no tuple; an escape in a name has not been decoded.
        if len(names) > 1 and not any("%" in name for name in names):
            self._shapes[tuple(params)] = itemgetter(*names), "".join([name + "%s" for name in names])


def _parse_plain(body: bytes) -> dict[str, str] | None:
    """The parameters of a body in which every name is there once, plainly, and has a value; None for any other body.

    Such a form and a JSON object differ in punctuation only, and the JSON parser is in C: half the time of taking it apart here. What
    is not that plain is no JSON afterwards, or an object with fewer members than the form has parts. A name may have escapes: then
    what is returned has them too, and is of no shape that is remembered.
    """
    if b'"' in body or b"\\" in body:
        return None
    text = body.replace(b"+", b" ").replace(b"%2B", b"+").replace(b"%3A", b":")
    try:
        params = _decode_json(b'{"' + text.replace(b"=", b'":"').replace(b"&", b'","') + b'"}')
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if len(params) != text.count(b"&") + 1:
        return None
    if b"%" in text:
        for name, value in params.items():
            if "%" in value:
                params[name] = unquote(value)
    return params


def parse_form(body: bytes) -> list[tuple[str, str]]:
    """Names and values of a form-encoded body, in order, blank and repeated ones included.

    The same answer as ``urllib.parse.parse_qsl(text, keep_blank_values=True)`` (a property test says so) in a third of the
    time: Twilio's values are mostly plain, and what is escaped is mostly the plus of a number. Bytes that are not UTF-8
    become U+FFFD. Never raises.
    """
    pairs: list[tuple[str, str]] = []
    for part in body.decode("utf-8", "replace").split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_decode(name), _decode(value)))
    return pairs


def _decode(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    plain = text.replace("%2B", "+").replace("%3A", ":")
    return plain if "%" not in plain else unquote(text)


def signed_text(pairs: list[tuple[str, str]]) -> str:
    """What Twilio signs after the URL: names and values without delimiters, sorted by name, then value, each pair once.

    Source: https://www.twilio.com/docs/usage/security. Sorted is by code point ("Unix-style case-sensitive").
    """
    return "".join([name + value for name, value in sorted(set(pairs))])


def first_values(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Each name's first value."""
    values = dict(pairs)
    return values if len(values) == len(pairs) else dict(reversed(pairs))
