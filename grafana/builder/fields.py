"""How values look: thresholds, colours of statuses, columns of tables, links out of a cell."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from grafana.builder.json_types import Json, JsonObject
from grafana.builder.runbook import PATH as RUNBOOK_PATH

GREEN: Final = "green"
YELLOW: Final = "yellow"
RED: Final = "red"
NEUTRAL: Final = "text"

COUNT: Final = "locale"
"""Unit of whole things (messages, events, callbacks): thousands are grouped, and there are never decimals."""

Steps = Sequence[tuple[float, str]]
"""From which value on which colour."""

STATUS_COLOURS: Final = {
    "accepted": "super-light-blue",
    "scheduled": "super-light-blue",
    "queued": "light-blue",
    "sending": "blue",
    "sent": "semi-dark-blue",
    "delivered": GREEN,
    "read": "dark-green",
    "partially_delivered": YELLOW,
    "canceled": "purple",
    "undelivered": "orange",
    "failed": RED,
}
"""The same colour for a status everywhere: blue on its way, green arrived, orange and red not."""


def thresholds(base: str, steps: Steps = ()) -> JsonObject:
    """``base`` is the colour below the first step."""
    first: JsonObject = {"color": base, "value": None}
    rest: list[Json] = [{"color": colour, "value": value} for value, colour in steps]
    return {"mode": "absolute", "steps": [first, *rest]}


def status_mappings() -> list[Json]:
    """Value mappings that colour a status wherever its name is the value."""
    return [
        {"type": "value", "options": {status: {"color": colour, "index": index}}}
        for index, (status, colour) in enumerate(STATUS_COLOURS.items())
    ]


@dataclass(frozen=True)
class Link:
    """A link of a cell or a series; ``${__value.raw}`` in it is the cell's value."""

    title: str
    url: str
    new_tab: bool = False

    def json(self) -> JsonObject:
        """The link as Grafana's model has it."""
        return {"title": self.title, "url": self.url, "targetBlank": self.new_tab}


ERROR_PAGE: Final = Link(
    "Twilio's page of this code", "https://www.twilio.com/docs/api/errors/${__value.raw}", new_tab=True
)
MESSAGE_PAGE: Final = Link("Message in the tracker", "${tracker_url:raw}/messages/${__value.raw}", new_tab=True)
RUNBOOK_CHAPTER: Final = Link("Chapter of the runbook", f"{RUNBOOK_PATH}#${{__value.raw}}", new_tab=True)
ERRORS: Final = Link(
    "Error codes of this time",
    "/d/tracker-errors?${__url_time_range}&${prometheus:queryparam}&${postgresql:queryparam}",
)
MESSAGE_AUDIT: Final = Link("Message audit", "/d/tracker-audit?var-sid=${__value.raw}&${postgresql:queryparam}")


@dataclass(frozen=True)
class Column:
    """A column of a table, by the name that the query (or a rename) gives it. width in pixels; None: Grafana's choice.

    colour: thresholds, the cell is coloured by its value. hidden: there for links to read, not shown. no_value: shown in
    an empty cell; None: nothing.
    """

    name: str
    unit: str | None = None
    width: int | None = None
    decimals: int | None = None
    links: Sequence[Link] = ()
    colour: Steps = ()
    colour_base: str = NEUTRAL
    statuses: bool = False
    hidden: bool = False
    no_value: str | None = None

    def override(self) -> JsonObject:
        """The column's settings as Grafana's model has them."""
        properties: list[Json] = []
        if self.unit is not None:
            properties.append({"id": "unit", "value": self.unit})
        decimals = 0 if self.unit == COUNT else self.decimals
        if decimals is not None:
            properties.append({"id": "decimals", "value": decimals})
        if self.no_value is not None:
            properties.append({"id": "noValue", "value": self.no_value})
        if self.width is not None:
            properties.append({"id": "custom.width", "value": self.width})
        if self.links:
            properties.append({"id": "links", "value": [link.json() for link in self.links]})
        if self.colour:
            properties.append({"id": "thresholds", "value": thresholds(self.colour_base, self.colour)})
        if self.statuses:
            properties.append({"id": "mappings", "value": status_mappings()})
        if self.colour or self.statuses:
            properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
        if self.hidden:
            # Two names of one setting: Grafana before 12.2, and since.
            properties.append({"id": "custom.hidden", "value": True})
            properties.append({"id": "custom.hideFrom.viz", "value": True})
        return {"matcher": {"id": "byName", "options": self.name}, "properties": properties}


@dataclass(frozen=True)
class Series:
    """How one series of a chart is drawn, by its name in the legend."""

    name: str
    colour: str | None = None
    dashed: bool = False
    unit: str | None = None
    properties: Sequence[Json] = field(default=())

    def override(self) -> JsonObject:
        """The series' settings as Grafana's model has them. A dashed line is a reference: not filled, not stacked."""
        properties: list[Json] = list(self.properties)
        if self.colour is not None:
            properties.append({"id": "color", "value": {"mode": "fixed", "fixedColor": self.colour}})
        if self.unit is not None:
            properties.append({"id": "unit", "value": self.unit})
        if self.dashed:
            properties.append({"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}})
            properties.append({"id": "custom.fillOpacity", "value": 0})
            properties.append({"id": "custom.stacking", "value": {"mode": "none", "group": "reference"}})
        return {"matcher": {"id": "byName", "options": self.name}, "properties": properties}
