"""What a panel asks: PromQL of Prometheus, or a file of SQL of PostgreSQL. Data sources are always variables."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from grafana.builder.json_types import JsonObject

QUERIES: Final = Path(__file__).parents[1] / "queries"

PROMETHEUS: Final[JsonObject] = {"type": "prometheus", "uid": "${prometheus}"}
POSTGRESQL: Final[JsonObject] = {"type": "grafana-postgresql-datasource", "uid": "${postgresql}"}

ResultFormat = Literal["time_series", "table", "heatmap"]


@dataclass(frozen=True)
class Prom:
    """A PromQL query.

    instant: one value at the end of the time range instead of one a step. exemplars: show the events behind the points
    (only queries of plain metrics have them; recorded series have none). legend: name of each series, with
    ``{{label}}``.
    """

    expr: str
    legend: str
    instant: bool
    format: ResultFormat
    exemplars: bool

    source = PROMETHEUS

    def target(self, ref_id: str) -> JsonObject:
        """The query as Grafana's model has it; ref_id is a letter that is its own within the panel."""
        return {
            "refId": ref_id,
            "datasource": PROMETHEUS,
            "editorMode": "code",
            "expr": self.expr,
            "legendFormat": self.legend,
            "instant": self.instant,
            "range": not self.instant,
            "format": self.format,
            "exemplar": self.exemplars,
        }


@dataclass(frozen=True)
class Sql:
    """The SQL of ``grafana/queries/NAME.sql``, whose result is a table."""

    name: str

    source = POSTGRESQL

    def target(self, ref_id: str) -> JsonObject:
        """The query as Grafana's model has it."""
        return {
            "refId": ref_id,
            "datasource": POSTGRESQL,
            "editorMode": "code",
            "rawQuery": True,
            "format": "table",
            "rawSql": (QUERIES / f"{self.name}.sql").read_text(encoding="utf-8"),
        }


Query = Prom | Sql


def prom(
    expr: str,
    legend: str = "",
    *,
    instant: bool = False,
    table: bool = False,
    heatmap: bool = False,
    exemplars: bool = False,
) -> Prom:
    """A PromQL query over the time range; ``table`` is instant, one row a series with its labels as columns."""
    result: ResultFormat = "table" if table else "heatmap" if heatmap else "time_series"
    return Prom(" ".join(expr.split()), legend, instant or table, result, exemplars)


def sql(name: str) -> Sql:
    """The SQL of ``grafana/queries/NAME.sql``."""
    return Sql(name)
