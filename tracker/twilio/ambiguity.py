"""Whether a verified body can be cut in another way where it matters.

Twilio signs names and values without delimiters, as a sorted set (``signed_text``), so one signature fits many bodies: whoever knows
one can move the boundaries between names and values. A callback is used only when nothing that is read from it could have been moved.
The rules accept cuts that change nothing that is read, because an honest callback in the quarantine is worse.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from tracker.twilio.callback import MAX_STATUS
from tracker.twilio.form import signed_text
from tracker.twilio.statuses import PHASES, normalise

Rule = Literal[
    "repeated_name", "invalid_name", "invalid_value", "hidden_name", "hidden_address", "split_value", "name_in_query"
]
"""Why a callback is ambiguous.

``repeated_name``: a read name has two values. ``invalid_name``: a name that Twilio would not use. ``invalid_value``: the value of a
read name has not its shape. ``hidden_name``: a read name is part of another name or of a value. ``hidden_address``: From or To is
missing, and hidden in the signed text. ``split_value``: a status or a date that may have been cut short or extended.
``name_in_query``: a read name is part of the URL's query.
"""

READ_NAMES: Final = frozenset({
    "AccountSid", "MessageSid", "SmsSid", "MessageStatus", "SmsStatus", "ErrorCode", "ErrorMessage", "RawDlrDoneDate",
    "ChannelPrefix", "MessagingServiceSid", "From", "To",
})  # fmt: skip
"""Names whose values are read from a callback."""

FREE_TEXT: Final = frozenset({"Body", "ErrorMessage", "ChannelStatusMessage", "AddOns", "Attributes"})
"""Names whose values are people's or carriers' text."""

KNOWN_NAMES: Final = READ_NAMES | FREE_TEXT | {
    # Status callbacks (https://www.twilio.com/docs/messaging/guides/track-outbound-message-status) and captures of them.
    "ApiVersion", "ChannelInstallSid", "ChannelToAddress", "EventType", "StructuredMessage",
    # Inbound messages (https://www.twilio.com/docs/messaging/guides/webhook-request).
    "FromCity", "FromCountry", "FromState", "FromZip", "NumMedia", "NumSegments", "OptOutType", "SmsMessageSid", "Timestamp", "ToCity",
    "ToCountry", "ToState", "ToZip", *(f"MediaContentType{number}" for number in range(10)), *(f"MediaUrl{number}" for number in range(10)),
    # Conversations (https://www.twilio.com/docs/conversations/conversations-webhooks).
    "Author", "ClientIdentity", "ConversationSid", "DateCreated", "Index", "ParticipantSid", "RetryCount", "Source",
}  # fmt: skip
"""Names that Twilio is known to send in messaging webhooks."""

_LONG_NAMES: Final = tuple(sorted(name for name in READ_NAMES if len(name) >= 6))  # noqa: PLR2004  # From and To occur in words
"""Read names that occur in no ordinary text."""

_FRAGMENTS: Final = ("Sid", "Status", "Error", "RawDlr", "nelPre")
"""Each long read name contains one of these."""

_FRAGMENTS_WITHIN: Final = {name: sum(map(name.count, _FRAGMENTS)) for name in KNOWN_NAMES}
"""Occurrences of fragments in each known name."""

_ADDRESS_NAMES: Final = ("From", "To")

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")

_STATUS: Final = re.compile(r"[A-Za-z][A-Za-z_-]{0,63}")
_SID: Final = re.compile(r"[A-Za-z]{2}[0-9a-fA-F]{32}")
_SHAPES: Final = re.compile(
    r"(?:AC[0-9a-fA-F]{32})?\n(?:MG[0-9a-fA-F]{32})?\n(?:[A-Za-z]{2}[0-9a-fA-F]{32})?\n(?:[A-Za-z]{2}[0-9a-fA-F]{32})?\n"
    r"(?:[0-9]{1,6})?\n(?:[0-9TZ:.+-]{1,40})?"
)
"""Shapes of the values that ``_are_shaped`` joins, one per line; no shape has a line end. A blank value has any shape."""

Pairs = list[tuple[str, str]]


def find_ambiguity(params: Mapping[str, str], signed: str, repeated: Pairs | None, query: str) -> Rule | None:
    """The first rule that a verified callback breaks; None when what is read from it is unambiguous.

    params: first value of each name. signed: the text that Twilio signs. repeated: names and values as sent; None when no name is
    repeated. query: of the signed URL, as received, empty for none.

    An ordinary callback passes ``_is_ordinary`` in 3.7 microseconds; the rules one by one cost 5.5.
    """
    if repeated is None and not query and _is_ordinary(params, signed):
        return None
    return find_broken_rule(params, signed, list(params.items()) if repeated is None else repeated, query)


def find_broken_rule(params: Mapping[str, str], signed: str, pairs: Pairs, query: str) -> Rule | None:
    """``find_ambiguity``, by every rule. pairs: names and values as sent."""
    if query and any(name in query for name in _LONG_NAMES):
        return "name_in_query"
    if len(params) != len(pairs) and any(name in READ_NAMES and params[name] != value for name, value in pairs):
        return "repeated_name"
    unknown = set[str]() if KNOWN_NAMES.issuperset(params) else params.keys() - KNOWN_NAMES
    if unknown and not all(map(_NAME.fullmatch, unknown)):
        return "invalid_name"
    get = params.get
    statuses = [text for text in (get("MessageStatus"), get("SmsStatus")) if text is not None and text not in PHASES]
    if statuses and not all(text == "" or _STATUS.fullmatch(text) for text in statuses):
        return "invalid_value"
    if not _are_shaped(params):
        return "invalid_value"
    if (unknown or _may_hide_name(params, signed)) and _hides_name(_Spans(pairs), params, signed):
        return "hidden_name"
    if ("From" not in params or "To" not in params) and _hides_address(_Spans(pairs), params, signed):
        return "hidden_address"
    if (statuses and _splits_status(pairs, statuses, unknown)) or (unknown and _splits_date(params)):
        return "split_value"
    return None


def _is_ordinary(params: Mapping[str, str], signed: str) -> bool:
    """Whether a callback without repeated names and without a query breaks no rule. A quick test: only True is sure.

    True: every name is known, every status is in the table, the other values have their shapes, and no long read name can be hidden.
    From and To cannot be hidden either: known names begin with a capital letter, and none ends like the beginning of From or To. So
    each rule of ``find_broken_rule`` holds, which a property test checks.
    """
    get = params.get
    if not (get("MessageStatus", "sent") in PHASES and get("SmsStatus", "sent") in PHASES and _are_shaped(params)):
        return False
    try:
        within_names = _count_fragments_within(params)
    except KeyError:
        # An unknown name.
        return False
    return _count_fragments(signed) == within_names


def _are_shaped(params: Mapping[str, str]) -> bool:
    """Whether SIDs, code and date have their shapes."""
    get = params.get
    text = (
        f"{get('AccountSid', '')}\n{get('MessagingServiceSid', '')}\n{get('MessageSid', '')}\n{get('SmsSid', '')}\n"
        f"{get('ErrorCode', '')}\n{get('RawDlrDoneDate', '')}"
    )
    return _SHAPES.fullmatch(text) is not None


def _may_hide_name(params: Mapping[str, str], signed: str) -> bool:
    """Whether a long read name can occur outside of the names, all of which are known. A quick test: False is sure."""
    return _count_fragments(signed) != _count_fragments_within(params)


def _count_fragments(signed: str) -> int:
    """Occurrences of ``_FRAGMENTS``."""
    count = signed.count
    return count("Sid") + count("Status") + count("Error") + count("RawDlr") + count("nelPre")


def _count_fragments_within(names: Iterable[str]) -> int:
    """Occurrences of ``_FRAGMENTS`` within known names. Raises KeyError for an unknown one."""
    return sum(map(_FRAGMENTS_WITHIN.__getitem__, names))


def _hides_name(spans: "_Spans", params: Mapping[str, str], signed: str) -> bool:
    """Whether a long read name occurs where it may have been a pair's own name in what Twilio sent.

    It may occur inside of a longer known name; where the body has it as a name too, also inside of free text and of a longer unknown
    name, unless a SID follows that is no value of its own.
    """
    for read_name in _LONG_NAMES:
        for start in _occurrences(read_name, signed):
            span = spans.around(start, start + len(read_name))
            if span is None:
                return True
            if span.is_name and (span.name == read_name or span.name in KNOWN_NAMES):
                continue
            if not ((span.is_name or span.name in FREE_TEXT) and read_name in params):
                return True
            if span.is_name and _cuts_sid(read_name, span, params, signed, start):
                return True
    return False


def _cuts_sid(read_name: str, span: "_Span", params: Mapping[str, str], signed: str, start: int) -> bool:
    """Whether a read name within an unknown name has a SID behind it that is not the unknown name's own value.

    ``ParentMessageSid`` before ``SM…`` is a pair of its own. ``aMessageSidSM…`` was cut out of other names and values.
    """
    end = start + len(read_name)
    return _SID.match(signed, end) is not None and (end != span.end or _SID.fullmatch(params[span.name]) is None)


def _hides_address(spans: "_Spans", params: Mapping[str, str], signed: str) -> bool:
    """Whether From or To is missing and occurs outside of a single value and of a known name."""
    for name in _ADDRESS_NAMES:
        if name not in params:
            for start in _occurrences(name, signed):
                span = spans.around(start, start + len(name))
                if span is None or (span.is_name and span.name not in KNOWN_NAMES):
                    return True
    return False


def _splits_status(pairs: Pairs, statuses: list[str], unknown: set[str]) -> bool:
    """Whether an unknown status may be part of a known one, or a known one with more behind it.

    ``un`` before an unknown name and value that begin with ``delivered``, or before several that do together; ``deliveredN`` before
    ``umMedia``, or with a whole name and value behind it. Names of Twilio begin with a capital letter, statuses have none. statuses:
    those that are not in the table.
    """
    for text in statuses:
        status = normalise(text)
        if status in PHASES:
            continue
        rests = tuple(known[len(status) :] for known in PHASES if known.startswith(status))
        if rests and any((each + value).lower().startswith(rests) for each, value in pairs if each in unknown):
            return True
        if rests and any(after.startswith(rests) for after in _texts_after(text, pairs)):
            return True
        if any(text.startswith(known) and (unknown or text[len(known)].isupper()) for known in PHASES):
            return True
    return False


def _texts_after(status: str, pairs: Pairs) -> Iterator[str]:
    """What is signed behind a status, in small letters: the rest of it may be spread over several names and values."""
    ordered = sorted(set(pairs))
    for number, (name, value) in enumerate(ordered, start=1):
        if value == status and name in {"MessageStatus", "SmsStatus"}:
            yield signed_text(ordered[number:])[:MAX_STATUS].lower()


def _splits_date(params: Mapping[str, str]) -> bool:
    """Whether letters in a date may be the beginning of a name, as in ``2025-01-01`` before ``T12``, or of another name the end.

    Names begin with no digit, so the usual ten digits can be neither cut nor extended.
    """
    date = params.get("RawDlrDoneDate")
    return bool(date) and not str(date).isdigit()


def _occurrences(text: str, signed: str) -> Iterator[int]:
    """Where a text begins."""
    start = signed.find(text)
    while start >= 0:
        yield start
        start = signed.find(text, start + 1)


class _Span(NamedTuple):
    """A name or a value in the signed text."""

    start: int
    end: int
    name: str
    is_name: bool
    """False: the value of ``name``."""


class _Spans:
    """Names and values in the order in which they are signed."""

    def __init__(self, pairs: Pairs) -> None:
        self._spans: list[_Span] = []
        place = 0
        for name, value in sorted(set(pairs)):
            middle, end = place + len(name), place + len(name) + len(value)
            self._spans += [_Span(place, middle, name, is_name=True), _Span(middle, end, name, is_name=False)]
            place = end
        self._starts = [span.start for span in self._spans]

    def around(self, start: int, end: int) -> _Span | None:
        """The name or value that contains all of this part of the text; None when none does."""
        span = self._spans[bisect_right(self._starts, start) - 1]
        return span if end <= span.end else None
