"""Every expression that Prometheus and PostgreSQL are asked: by panels, annotations, variables, rules and runbook.

``promql()`` and ``sql()`` fill Grafana's variables in, so that what they yield can be sent to a server as it is. A
variable that nobody gave a value is an error: a query must not go out with a dollar sign in it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.grafana.shipped import RUNBOOK, dashboards, rules

Values = Mapping[str, str | Sequence[str]]
"""A variable's value, or the several that are chosen."""

DEFAULTS: Final[Values] = {
    "__rate_interval": "1m",
    "__interval": "15s",
    "__range": "1h",
    "__range_s": "3600",
    "__timeFrom": "2026-01-01T00:00:00Z",
    "__timeTo": "2026-01-02T00:00:00Z",
    "channel": ["sms", "mms", "whatsapp", "rcs", "messenger", "other"],
    "country": ".*",
    "sid": "SM" + "0" * 32,
    "message_sid": "SM" + "0" * 32,
}

VARIABLE: Final = re.compile(r"\$\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|\$(?P<plain>[A-Za-z_]\w*)(?P<call>\(\))?")


@dataclass(frozen=True)
class Expression:
    """A query with its variables filled in.

    where: for messages. raw: as it is in the file. instant: one value, not a curve.
    """

    where: str
    text: str
    raw: str
    instant: bool = False


def sql_text(value: str) -> str:
    """A string of SQL, as Grafana's format ``sqlstring`` writes it."""
    return "'" + value.replace("'", "''") + "'"


def fill(text: str, values: Values) -> str:
    """The text with every variable replaced as Grafana would; KeyError for a variable without a value."""

    def replacement(match: re.Match[str]) -> str:
        value = values[match["braced"] or match["plain"]]
        chosen = [value] if isinstance(value, str) else list(value)
        if match["format"] == "sqlstring":
            return ",".join(sql_text(one) for one in chosen)
        if match["call"]:
            return sql_text(chosen[0])
        return chosen[0] if len(chosen) == 1 else "(" + "|".join(chosen) + ")"

    return VARIABLE.sub(replacement, text)


def promql(values: Values = DEFAULTS) -> Iterator[Expression]:
    """Every PromQL expression that is shipped."""
    yield from panel_promql(values)
    yield from annotation_promql(values)
    yield from variable_promql()
    yield from rule_promql()
    yield from runbook_promql()


def panel_promql(values: Values = DEFAULTS) -> Iterator[Expression]:
    """The expressions of panels. A panel with a time range of its own has another ``$__range``."""
    for dashboard in dashboards():
        for panel in dashboard.panels:
            # A calendar range, such as "now/M" for the month so far, is as long as the clock says: the default stands for it.
            own_range = panel.time_from if panel.time_from and "now" not in panel.time_from else None
            own = values if own_range is None else {**values, "__range": own_range}
            for target in panel.targets:
                if target.expr is not None:
                    where = f"{dashboard.title} / {panel.title} / {target.ref_id}"
                    yield Expression(where, fill(target.expr, own), target.expr, target.instant)


def annotation_promql(values: Values = DEFAULTS) -> Iterator[Expression]:
    """The expressions of the marks on charts."""
    for dashboard in dashboards():
        for annotation in dashboard.annotations.list:
            if annotation.datasource.type != "prometheus":
                continue
            expr = str(annotation.target["expr"])
            yield Expression(f"{dashboard.title} / annotation {annotation.name}", fill(expr, values), expr)


def variable_promql() -> Iterator[Expression]:
    """The series whose labels a variable offers: ``label_values(SERIES, LABEL)``."""
    for dashboard in dashboards():
        for variable in dashboard.templating.list:
            if variable.datasource is not None and variable.datasource.type == "prometheus":
                match = re.fullmatch(r"label_values\((?P<series>.+),(?P<label>\w+)\)", variable.text)
                assert match, f"{dashboard.title}: variable {variable.name} is no label_values() query"
                series = f"count by ({match['label']}) ({match['series']})"
                yield Expression(f"{dashboard.title} / variable {variable.name}", series, variable.text, instant=True)


def rule_promql() -> Iterator[Expression]:
    """The expressions of recording rules and alerts."""
    for rule in rules():
        yield Expression(f"rule {rule.name}", rule.expr, rule.expr, instant=True)


def runbook_promql() -> Iterator[Expression]:
    """The queries that the runbook tells people to run: one a line."""
    for block in re.findall(r"```promql\n(.*?)```", RUNBOOK.read_text(encoding="utf-8"), flags=re.DOTALL):
        for line in block.splitlines():
            expr = line.partition("#")[0].strip()
            yield Expression(f"runbook: {expr}", expr, expr, instant=True)


def sql(values: Values = DEFAULTS) -> Iterator[Expression]:
    """Every SQL statement of panels, annotations and variables."""
    for dashboard in dashboards():
        for panel in dashboard.panels:
            for target in panel.targets:
                if target.raw_sql is not None:
                    where = f"{dashboard.title} / {panel.title} / {target.ref_id}"
                    yield Expression(where, fill(target.raw_sql, values), target.raw_sql)
        for annotation in dashboard.annotations.list:
            if annotation.datasource.type == "grafana-postgresql-datasource":
                text = str(annotation.target["rawSql"])
                yield Expression(f"{dashboard.title} / annotation {annotation.name}", fill(text, values), text)
        for variable in dashboard.templating.list:
            if variable.datasource is not None and variable.datasource.type == "grafana-postgresql-datasource":
                where = f"{dashboard.title} / variable {variable.name}"
                yield Expression(where, fill(variable.text, values), variable.text)
