"""The shipped files under ``grafana/``, read into types: only the parts that tests ask about."""

from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

GRAFANA: Final = Path(__file__).parents[2] / "grafana"
PROMETHEUS: Final = GRAFANA / "prometheus"
RUNBOOK: Final = GRAFANA / "RUNBOOK.md"


class Rule(msgspec.Struct):
    """A recording rule (``record``) or an alert (``alert``)."""

    expr: str
    record: str | None = None
    alert: str | None = None
    hold: str | None = msgspec.field(default=None, name="for")
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}

    @property
    def name(self) -> str:
        """The recorded series or the alert."""
        return self.record or self.alert or ""


class Group(msgspec.Struct):
    """Rules that are evaluated together, in order."""

    name: str
    rules: list[Rule]


class RuleFile(msgspec.Struct):
    """A file of ``grafana/prometheus/rules``."""

    groups: list[Group]


class Source(msgspec.Struct):
    """A reference to a data source."""

    type: str
    uid: str


class Target(msgspec.Struct, rename="camel"):
    """A query of a panel: PromQL in ``expr`` or SQL in ``raw_sql``."""

    datasource: Source
    ref_id: str
    expr: str | None = None
    raw_sql: str | None = None
    legend_format: str = ""
    instant: bool = False
    exemplar: bool = False


class Place(msgspec.Struct):
    """Where a panel is, in cells of the grid."""

    x: int
    y: int
    w: int
    h: int


class Link(msgspec.Struct, rename="camel"):
    """A link of a dashboard, a panel, a series or a cell."""

    title: str
    url: str
    tags: list[str] = []
    type: str = "link"


class Defaults(msgspec.Struct, rename="camel"):
    """How a panel's values look unless an override says otherwise. no_value: shown where there are none."""

    unit: str = ""
    decimals: int | None = None
    no_value: str = ""
    links: list[Link] = []


class Property(msgspec.Struct):
    """One setting of an override."""

    id: str
    value: Any


class Override(msgspec.Struct):
    """Settings of some fields of a panel."""

    matcher: dict[str, str]
    properties: list[Property]


class FieldConfig(msgspec.Struct):
    """How a panel's values look."""

    defaults: Defaults
    overrides: list[Override]


class Panel(msgspec.Struct, rename="camel"):
    """A panel, or a row's title (type ``row``, without queries)."""

    id: int
    type: str
    title: str
    grid_pos: Place
    description: str = ""
    datasource: Source | None = None
    targets: list[Target] = []
    field_config: FieldConfig | None = None
    links: list[Link] = []
    time_from: str | None = None


class Variable(msgspec.Struct):
    """A variable of a dashboard. query: text, or for Prometheus an object that holds the text."""

    name: str
    type: str
    query: str | dict[str, Any]
    datasource: Source | None = None

    @property
    def text(self) -> str:
        """The query as it is typed."""
        return self.query if isinstance(self.query, str) else str(self.query["query"])


class Annotation(msgspec.Struct):
    """Marks on the charts of a dashboard."""

    name: str
    datasource: Source
    target: dict[str, Any]


class Annotations(msgspec.Struct):
    """The annotations of a dashboard."""

    list: list[Annotation]


class Templating(msgspec.Struct):
    """The variables of a dashboard."""

    list: list[Variable]


class Dashboard(msgspec.Struct, rename="camel"):
    """A dashboard."""

    uid: str
    title: str
    description: str
    tags: list[str]
    schema_version: int
    panels: list[Panel]
    annotations: Annotations
    templating: Templating
    links: list[Link]


def read_yaml(path: Path) -> Any:
    """A YAML file as plain data."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rule_files() -> list[Path]:
    """The files with recording rules and alerts."""
    return sorted((PROMETHEUS / "rules").glob("*.yml"))


def rule_tests() -> list[Path]:
    """The files with promtool's rule tests."""
    return sorted((PROMETHEUS / "tests").glob("*.yml"))


def rules() -> list[Rule]:
    """Every rule of every file."""
    files = [msgspec.convert(read_yaml(path), RuleFile) for path in rule_files()]
    return [rule for file in files for group in file.groups for rule in group.rules]


def alerts() -> list[Rule]:
    """Every alert."""
    return [rule for rule in rules() if rule.alert is not None]


def dashboards() -> list[Dashboard]:
    """Every dashboard."""
    return [
        msgspec.json.decode(path.read_bytes(), type=Dashboard)
        for path in sorted((GRAFANA / "dashboards").glob("*.json"))
    ]


def panels() -> list[tuple[str, Panel]]:
    """Every panel that shows something (not the titles of rows), with its dashboard's and its own title."""
    return [
        (f"{dashboard.title} / {panel.title}", panel)
        for dashboard in dashboards()
        for panel in dashboard.panels
        if panel.type != "row"
    ]
