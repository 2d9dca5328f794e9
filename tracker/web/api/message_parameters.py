"""Parameters of the API as its document describes them."""

from typing import Annotated, Any, Final

from litestar.openapi.spec import Example, OpenAPIType, Schema
from litestar.params import PathParameter, QueryParameter

from tracker.queries.as_of import Clock
from tracker.queries.history_reader import NO_ACCOUNT, PAGE_EVENTS
from tracker.queries.schemas import SID_PATTERN
from tracker.web.api.parameters import DIRECTIONS, EFFECTS, MAX_TEXT

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1000


def optional(description: str, example: str | None = None, name: str | None = None, **schema: Any) -> QueryParameter:
    """A parameter that may be left out; given, it is a text, never the null that the type alone suggests."""
    return QueryParameter(
        name=name,
        description=description,
        examples=None if example is None else [Example(value=example)],
        schema_extra={"type": "string", "oneOf": None, **schema},
    )


def moment(description: str, example: str, name: str | None = None) -> QueryParameter:
    """A time that may be left out."""
    return optional(f"{description} RFC 3339, with an offset.", example, name, format="date-time")


def _filter(description: str, example: str, name: str | None = None, **schema: Any) -> QueryParameter:
    return optional(description, example, name, minLength=1, maxLength=MAX_TEXT, **schema)


_CODE: Final = "^ *[0-9]{1,6} *$"


Sid = Annotated[
    str,
    PathParameter(
        description="Twilio's SID of the message, SM… or MM….",
        examples=[Example(value="SM0123456789abcdef0123456789abcdef")],
        schema_extra={"pattern": SID_PATTERN},
    ),
]
AsOfText = Annotated[str | None, moment("Answer as of this moment; without it, now.", "2026-03-01T12:00:00Z")]
ClockText = Annotated[
    str | None,
    optional(
        "When an event counts. `known` (default): it had reached us at `as_of`. `happened`: it was done at `as_of` by "
        "the carrier's done date where that can be believed (to the minute, read as UTC), else it had reached us.",
        enum=list(Clock),
    ),
]
StatusTexts = Annotated[
    list[str] | None,
    QueryParameter(
        name="status",
        description="Only messages in this status. Repeated, or several separated by commas: in any of them.",
        examples=[Example(value=["failed", "undelivered"])],
        schema_extra={"type": "array", "items": Schema(type=OpenAPIType.STRING), "oneOf": None},
    ),
]
ErrorCodeText = Annotated[
    str | None, _filter("Only messages whose deciding status has this error code.", "30003", pattern=_CODE)
]
HadErrorCodeText = Annotated[
    str | None,
    _filter("Only messages of which this error code was ever reported, whatever decides now.", "30007", pattern=_CODE),
]
AccountText = Annotated[str | None, optional("Only messages of this account.", pattern="^[Aa][Cc][0-9a-fA-F]{32}$")]
OwnerText = Annotated[
    str | None,
    optional(
        f"The account whose message it is; `{NO_ACCOUNT}` for events that name no account. Without it, the only account that has "
        "the SID; where several have it, the answer is 409 and names them.",
        pattern=f"^([Aa][Cc][0-9a-fA-F]{{32}}|{NO_ACCOUNT})$",
    ),
]
ToText = Annotated[
    str | None,
    _filter(
        "Only messages to this address: a number in any spelling, on all channels unless a prefix such as `whatsapp:` names one; or "
        "a short code or a channel's own identity. A number that no message has, in a form that may be wrong, is a 400 with advice.",
        "+1 (555) 867-5310",
    ),
]
FromText = Annotated[
    str | None,
    _filter("Only messages from this address, as with `to`; or a sender's name, exactly.", "+15557122661", "from"),
]
ChannelText = Annotated[str | None, _filter("Only messages of this channel.", "whatsapp")]
CountryText = Annotated[
    str | None,
    _filter("Only messages to numbers of this country, an ISO 3166 code.", "US", pattern="^ *[A-Za-z]{2} *$"),
]
ServiceText = Annotated[
    str | None,
    optional("Only messages of this Messaging Service.", pattern="^[Mm][Gg][0-9a-fA-F]{32}$"),
]
EffectText = Annotated[
    str | None,
    optional(
        "Only messages of which any event had this effect when it came, such as `late` or `corrected`.",
        enum=list(EFFECTS),
    ),
]
ConflictText = Annotated[
    str | None,
    optional(
        "`true`: only messages of which two different outcomes were reported; `false`: no such messages.",
        enum=["true", "false"],
    ),
]
DirectionText = Annotated[
    str | None, optional("Only messages to us (`inbound`) or from us (`outbound`).", enum=list(DIRECTIONS))
]
SinceText = Annotated[
    str | None, moment("Only messages whose first event reached us then or later.", "2026-03-01T00:00:00Z")
]
UntilText = Annotated[str | None, moment("Only messages whose first event reached us before.", "2026-04-01T00:00:00Z")]
After = Annotated[
    int,
    QueryParameter(
        description="Position of the last event of the page before: its `next_after`. 0: from the beginning.",
        ge=0,
        le=2**63 - 1,
    ),
]
EventLimit = Annotated[int, QueryParameter(description="Events in one answer at most.", ge=1, le=PAGE_EVENTS)]
Limit = Annotated[int, QueryParameter(description="Messages in one answer at most.", ge=1, le=MAX_LIMIT)]
CursorText = Annotated[
    str | None, optional("`next_cursor` of the page before, with the same filters; without it, the newest messages.")
]
