"""Sentences about settings that are wrong, with examples, in place of pydantic's."""

from collections.abc import Mapping
from typing import Any, Final

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tracker.quantities import format_duration, format_size

_DURATIONS: Final = {"TRACKER_APPEND_TIMEOUT"}
_SIZES: Final = {"TRACKER_SPOOL_MAX_BYTES"}

_SENTENCES: Final = {
    ("TWILIO_AUTH_TOKENS", "list_type"): 'must give each account a list of tokens: {"AC…": ["token", "older token"]}',
    ("TWILIO_AUTH_TOKENS", "string_type"): 'must give each account a list of texts: {"AC…": ["token", "older token"]}',
    ("TWILIO_SHARED_KEYS", "missing"): 'must give each key a secret: {"key id": {"secret": "…", "accounts": ["AC…"]}}',
    ("TWILIO_SHARED_KEYS", "extra_forbidden"): 'has a field of a key that is neither "secret" nor "accounts"',
    ("TRACKER_INSTANCE_ID", "uuid_parsing"): "must be a UUID, such as 7b1f6f0e-5d0c-4a53-9a0e-3c2b8f4d9a61",
}


def setting_name(field: str, fields: Mapping[str, FieldInfo]) -> str:
    """Name of a field's setting in the environment. field: its name or alias."""
    info = fields.get(field)
    return ((info and info.alias) or field).upper()


def complaint(error: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    """``NAME: sentence``, without the value, which may be a secret."""
    if not error["loc"]:
        return error["msg"].removeprefix("Value error, ")
    name = setting_name(str(error["loc"][0]), fields)
    return f"{name}: {_sentence(name, error, fields)}"


def _sentence(name: str, error: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return error["msg"].removeprefix("Value error, ")
    if kind in {"greater_than", "greater_than_equal", "less_than_equal"} or kind.startswith("int_"):
        field = next(info for each, info in fields.items() if setting_name(each, fields) == name)
        return _range(name, field)
    if kind == "literal_error":
        return f"must be {context['expected'].replace(chr(39), '')}"
    if kind == "too_long":
        return f"must have at most {context['max_length']} values, comma-separated"
    return _SENTENCES.get((name, kind), error["msg"])


def _range(name: str, field: FieldInfo) -> str:
    """``must be a whole number from 1 to 64, such as 4``."""
    bounds: list[str] = []
    for bound in field.metadata:
        if isinstance(bound, Gt):
            bounds.append(f"more than {_shown(name, bound.gt)}")
        elif isinstance(bound, Ge):
            bounds.append(f"at least {_shown(name, bound.ge)}")
        elif isinstance(bound, Le):
            bounds.append(f"at most {_shown(name, bound.le)}")
    what = "a duration of " if name in _DURATIONS else "" if name in _SIZES else "a whole number, "
    return f"must be {what}{' and '.join(bounds)}, such as {_shown(name, field.default)}"


def _shown(name: str, value: Any) -> str:
    if name in _DURATIONS:
        return format_duration(value)
    return format_size(value) if name in _SIZES else str(value)
