"""A dashboard as a whole: layout, variables, annotations, and the links from each dashboard to the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana.builder.json_types import Json, JsonObject
from grafana.builder.panels import Panel
from grafana.builder.queries import POSTGRESQL, PROMETHEUS, QUERIES, sql

GRID_WIDTH: Final = 24
TAG: Final = "tracker"
"""The tag of all our dashboards; the links at the top of each are to whatever carries it."""

TRACKER_URL: Final = "http://localhost:8000"
"""Where a browser finds the tracker's own pages: the default of the text box at the top of every dashboard."""


@dataclass(frozen=True)
class Row:
    """Panels under a title, placed from left to right, wrapped at the grid's width."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """One dashboard.

    uid is stable: links and bookmarks name it. time_from: start of the time range when it is opened. refresh: how often
    it asks again; empty: never. annotated: with marks for deploys, rebuilds and notes, which need both data sources.
    """

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[JsonObject]
    time_from: str = "now-6h"
    refresh: str = "30s"
    annotated: bool = True

    def json(self) -> JsonObject:
        """The dashboard as Grafana's model has it."""
        annotations: list[Json] = [deploys(), rebuilds(), notes()] if self.annotated else []
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": 41,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "timezone": "utc",
            "time": {"from": self.time_from, "to": "now"},
            "timepicker": {},
            "refresh": self.refresh,
            "fiscalYearStartMonth": 0,
            "liveNow": False,
            "links": [others(), own_pages()],
            "annotations": {"list": annotations},
            "templating": {"list": list(self.variables)},
            "panels": placed(self.rows),
        }


def placed(rows: Sequence[Row]) -> list[Json]:
    """All panels with ids and places. A line of panels is as high as its highest."""
    panels: list[Json] = []
    y = 0
    for row in rows:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": y, "w": GRID_WIDTH, "h": 1},
            }
        )
        y += 1
        x = line_height = 0
        for panel in row.panels:
            if x + panel.width > GRID_WIDTH:
                x, y, line_height = 0, y + line_height, 0
            panels.append(panel.json(len(panels) + 1, x, y))
            x += panel.width
            line_height = max(line_height, panel.height)
        y += line_height
    return panels


def others() -> JsonObject:
    """The links at the top: every dashboard of ours, with this one's time range and variables."""
    return {
        "type": "dashboards",
        "title": "Tracker",
        "tags": [TAG],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }


def own_pages() -> JsonObject:
    """The link at the top to the tracker's own pages."""
    return {
        "type": "link",
        "title": "Tracker's pages",
        "url": "${tracker_url:raw}/",
        "tags": [],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": False,
        "targetBlank": True,
        "icon": "external link",
        "tooltip": "",
    }


def annotation(name: str, colour: str, expr: str, title: str, text: str) -> JsonObject:
    """Marks on every chart where ``expr`` is above zero; runs of points become one mark."""
    return {
        "name": name,
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "datasource": PROMETHEUS,
        "target": {"refId": "Anno", "expr": expr, "interval": "", "range": True, "instant": False, "legendFormat": ""},
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": "",
        "useValueForTime": False,
    }


def deploys() -> JsonObject:
    """A version that was not there one step before."""
    return annotation(
        "Deploys",
        "blue",
        "max by (version) (tracker_build_info) unless max by (version) (tracker_build_info offset $__rate_interval)",
        "Deploy",
        "Version {{version}} started",
    )


def rebuilds() -> JsonObject:
    """A projection's new version took the place of the old one."""
    return annotation(
        "Rebuilds",
        "purple",
        "sum by (projection) (increase(tracker_projection_rebuilds_total[$__rate_interval])) > 0",
        "Rebuild",
        "Projection {{projection}} was rebuilt",
    )


def notes() -> JsonObject:
    """What people noted with ``tracker annotate``, such as a deploy of the application that sends."""
    return {
        "name": "Notes",
        "enable": True,
        "hide": False,
        "iconColor": "orange",
        "datasource": POSTGRESQL,
        "target": {**sql("annotations").target("Anno")},
    }


def data_source(name: str, label: str, plugin: str) -> JsonObject:
    """A choice among the data sources of one kind; every query names it."""
    return {
        "name": name,
        "label": label,
        "type": "datasource",
        "query": plugin,
        "regex": "",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "options": [],
        "hide": 0,
        "skipUrlSync": False,
        "current": {},
    }


def prometheus() -> JsonObject:
    """The Prometheus to ask."""
    return data_source("prometheus", "Prometheus", "prometheus")


def postgresql() -> JsonObject:
    """The PostgreSQL to ask, as a role that can only read."""
    return data_source("postgresql", "PostgreSQL", "grafana-postgresql-datasource")


def text_box(name: str, label: str, description: str, default: str = "") -> JsonObject:
    """A value that is typed in."""
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "textbox",
        "query": default,
        "hide": 0,
        "skipUrlSync": False,
        "current": {"text": default, "value": default},
        "options": [],
    }


def tracker_url() -> JsonObject:
    """The base of links to the tracker's own pages."""
    return text_box(
        "tracker_url",
        "Tracker",
        "Where your browser finds the tracker's own pages; links to a message go there.",
        TRACKER_URL,
    )


def label_values(name: str, label: str, metric: str, all_value: str | None = None) -> JsonObject:
    """A choice of one, several or all values of a label. all_value: what All stands for; None: the list of them."""
    variable: JsonObject = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": PROMETHEUS,
        "refresh": 2,
        "sort": 1,
        "regex": "",
        "hide": 0,
        "skipUrlSync": False,
        "multi": True,
        "includeAll": True,
        "options": [],
        "definition": f"label_values({metric},{name})",
        "query": {
            "qryType": 1,
            "query": f"label_values({metric},{name})",
            "refId": "PrometheusVariableQueryEditor-VariableQuery",
        },
        "current": {"text": ["All"], "value": ["$__all"]},
    }
    if all_value is not None:
        variable["allValue"] = all_value
    return variable


def hidden_sql(name: str, query_name: str) -> JsonObject:
    """A value that the SQL of ``grafana/queries/QUERY_NAME.sql`` computes from the other variables."""
    text = (QUERIES / f"{query_name}.sql").read_text(encoding="utf-8")
    return {
        "name": name,
        "label": "",
        "type": "query",
        "datasource": POSTGRESQL,
        "refresh": 2,
        "sort": 0,
        "regex": "",
        "hide": 2,
        "skipUrlSync": True,
        "multi": False,
        "includeAll": False,
        "options": [],
        "definition": text,
        "query": text,
        "current": {},
    }
