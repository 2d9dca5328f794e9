"""The kinds of panel that the dashboards use. Each constructor asks for a title, a description, queries and a unit.

width and height are in cells of Grafana's grid: 24 to a row, 30 pixels high.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Final, Literal

from grafana.builder.fields import COUNT, NEUTRAL, Column, Link, Series, Steps, status_mappings, thresholds
from grafana.builder.json_types import Json, JsonObject
from grafana.builder.queries import Query

NOTHING: Final = "Nothing in this time range"
"""Instead of a chart or a table that has no data."""


@dataclass(frozen=True)
class Panel:
    """One panel, without its place and id, which the layout gives."""

    title: str
    description: str
    kind: str
    queries: Sequence[Query]
    width: int
    height: int
    options: JsonObject
    defaults: JsonObject
    overrides: list[Json] = field(default_factory=list[Json])
    transformations: list[Json] = field(default_factory=list[Json])
    links: Sequence[Link] = ()
    time_from: str | None = None

    def json(self, panel_id: int, x: int, y: int) -> JsonObject:
        """The panel as Grafana's model has it."""
        panel: JsonObject = {
            "id": panel_id,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "datasource": self.queries[0].source,
            "targets": [query.target(letter) for query, letter in zip(self.queries, ascii_uppercase, strict=False)],
            "fieldConfig": {"defaults": self.defaults, "overrides": self.overrides},
            "options": self.options,
            "transformations": self.transformations,
            "links": [link.json() for link in self.links],
        }
        if self.time_from is not None:
            panel["timeFrom"] = self.time_from
        return panel


def stat(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str,
    width: int,
    height: int = 4,
    decimals: int | None = None,
    base: str = NEUTRAL,
    steps: Steps = (),
    column: str | None = None,
    statuses: bool = False,
    time_from: str | None = None,
    links: Sequence[Link] = (),
    names: bool = False,
    no_data: str = "no data",
) -> Panel:
    """One figure.

    column: the column of a table to show (None: the number). time_from: a fixed range such as ``1h``, shown beside the
    title, instead of the dashboard's. names: show the name of the series instead of its value. no_data: shown instead of
    a figure where there is none.
    """
    defaults: JsonObject = {
        "unit": unit,
        "color": {"mode": "thresholds"},
        "thresholds": thresholds(base, steps),
        "mappings": status_mappings() if statuses else [],
        "noValue": no_data,
    }
    decimals = 0 if unit == COUNT else decimals
    if decimals is not None:
        defaults["decimals"] = decimals
    options: JsonObject = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "showPercentChange": False,
        "textMode": "name" if names else "value",
        "wideLayout": True,
        "reduceOptions": {"calcs": ["lastNotNull"], "values": False, "fields": f"/^{column}$/" if column else ""},
    }
    return Panel(
        title, description, "stat", queries, width, height, options, defaults, links=links, time_from=time_from
    )


def chart(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str,
    width: int,
    height: int = 8,
    decimals: int | None = None,
    minimum: float | None = 0,
    maximum: float | None = None,
    stacked: bool = False,
    base: str = "transparent",
    limits: Steps = (),
    series: Sequence[Series] = (),
    legend: Literal["list", "table"] = "list",
    links: Sequence[Link] = (),
    logarithmic: bool = False,
    no_data: str = NOTHING,
) -> Panel:
    """Values over time.

    stacked: bars on top of each other, for parts of a whole. limits are drawn as dashed lines. legend: ``table`` adds
    the mean, the greatest and the last value of each series.
    """
    custom: JsonObject = {
        "drawStyle": "bars" if stacked else "line",
        "lineWidth": 1,
        "fillOpacity": 80 if stacked else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
        "scaleDistribution": {"type": "log", "log": 10} if logarithmic else {"type": "linear"},
    }
    defaults: JsonObject = {
        "unit": unit,
        "color": {"mode": "palette-classic-by-name"},
        "custom": custom,
        "thresholds": thresholds(base, limits),
        "links": [link.json() for link in links],
        "noValue": no_data,
    }
    decimals = 0 if unit == COUNT else decimals
    if minimum is not None and not logarithmic:
        defaults["min"] = minimum
    if maximum is not None:
        defaults["max"] = maximum
    if decimals is not None:
        defaults["decimals"] = decimals
    options: JsonObject = {
        "legend": {
            "showLegend": True,
            "displayMode": legend,
            "placement": "bottom",
            "calcs": ["mean", "max", "lastNotNull"] if legend == "table" else [],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    overrides: list[Json] = [one.override() for one in series]
    return Panel(title, description, "timeseries", queries, width, height, options, defaults, overrides)


def heatmap(title: str, description: str, queries: Sequence[Query], *, unit: str, width: int, height: int = 8) -> Panel:
    """How the observations of a histogram spread over its buckets. unit is that of the buckets."""
    options: JsonObject = {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Blues",
            "steps": 64,
            "fill": "dark-blue",
            "exponent": 0.5,
            "scale": "exponential",
            "reverse": False,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": False},
        "cellValues": {"unit": COUNT, "decimals": 0},
        "yAxis": {"axisPlacement": "left", "unit": unit, "reverse": False},
    }
    custom: JsonObject = {
        "scaleDistribution": {"type": "linear"},
        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
    }
    return Panel(
        title,
        description,
        "heatmap",
        queries,
        width,
        height,
        options,
        {"unit": unit, "custom": custom, "noValue": NOTHING},
    )


def table(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    columns: Sequence[Column],
    width: int,
    height: int = 8,
    order: Sequence[str] = (),
    renames: dict[str, str] | None = None,
    sort: str | None = None,
    links: Sequence[Link] = (),
    hide: Sequence[str] = ("Time",),
    no_data: str = NOTHING,
) -> Panel:
    """A table; several PromQL queries are joined by their labels.

    renames: label or ``Value #A`` to column title. order: columns from left to right, by the names before renaming.
    sort: column (as renamed) to sort by, greatest first. hide: columns that are left out where there are renames.
    """
    transformations: list[Json] = []
    if len(queries) > 1:
        transformations.append({"id": "merge", "options": {}})
    if renames is not None:
        transformations.append(
            {
                "id": "organize",
                "options": {
                    "excludeByName": dict.fromkeys(hide, True),
                    "indexByName": {name: index for index, name in enumerate(order)},
                    "renameByName": dict(renames),
                },
            }
        )
    defaults: JsonObject = {
        "unit": "string",
        "color": {"mode": "thresholds"},
        "thresholds": thresholds(NEUTRAL),
        "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True, "inspect": False},
        "noValue": no_data,
    }
    options: JsonObject = {
        "frameIndex": 0,
        "cellHeight": "sm",
        "showHeader": True,
        "sortBy": [] if sort is None else [{"displayName": sort, "desc": True}],
    }
    overrides: list[Json] = [column.override() for column in columns]
    return Panel(
        title, description, "table", queries, width, height, options, defaults, overrides, transformations, links=links
    )


def state_timeline(title: str, description: str, queries: Sequence[Query], *, width: int, height: int = 6) -> Panel:
    """Which value held from when to when; one lane a column."""
    options: JsonObject = {
        "alignValue": "left",
        "mergeValues": False,
        "rowHeight": 0.8,
        "showValue": "auto",
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    defaults: JsonObject = {
        "unit": "string",
        "color": {"mode": "thresholds"},
        "thresholds": thresholds(NEUTRAL),
        "mappings": status_mappings(),
        "custom": {"lineWidth": 1, "fillOpacity": 70},
        "noValue": NOTHING,
    }
    return Panel(title, description, "state-timeline", queries, width, height, options, defaults)
