"""The table of firing alerts, which several dashboards have below their first line."""

from grafana.builder.fields import RUNBOOK_CHAPTER, Column
from grafana.builder.measures import FIRING
from grafana.builder.panels import Panel, table
from grafana.builder.queries import prom

LABELS = ("channel", "country", "error_code", "projection", "reason", "instance")
"""Labels that tell alerts of one name apart, in the order of the columns."""


def firing_alerts() -> Panel:
    """Names of the alerts that fire now, each a link to its chapter of the runbook."""
    return table(
        "Firing alerts",
        "Alerts of this product that fire now; the name leads to its chapter of the runbook, which says what to do.",
        [prom(FIRING, table=True)],
        columns=[Column("Alert", width=280, links=[RUNBOOK_CHAPTER]), Column("Severity", width=110)],
        order=["alertname", "severity", *LABELS],
        renames={"alertname": "Alert", "severity": "Severity", "error_code": "Code"}
        | {label: label.capitalize() for label in LABELS if label != "error_code"},
        hide=("Time", "Value", "__name__", "alertstate", "job", "service"),
        sort="Severity",
        width=24,
        height=5,
        no_data="No alert fires.",
    )
