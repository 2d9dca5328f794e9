"""The month's error budget: the panels' own expressions, asked of Prometheus' rule tester on the eleventh of January 1970."""

from pathlib import Path

import pytest
import yaml

from tests.grafana.expressions import DEFAULTS, panel_promql
from tests.grafana.promtool import promtool

DAYS = 10
"""Of the month, so far. January has 31 days."""

FINISHED_PER_HOUR = 120
ALLOWED = 0.05 * FINISHED_PER_HOUR * 24 * 31
"""Messages that may stay undelivered in the month at an objective of 95%."""


def expression(title: str) -> str:
    """A panel's expression for the month so far."""
    values = {**DEFAULTS, "__range": f"{DAYS}d", "__range_s": str(DAYS * 86400)}
    (found,) = [one.text for one in panel_promql(values) if one.where == f"Delivery / {title} / A"]
    return found


@pytest.mark.parametrize(
    ("lost_per_hour", "ends_on_day"),
    [(0.0, None), (2.4, None), (6.0, 31.0), (9.6, 19.375), (24.0, 10.0)],
    ids=["nothing lost", "kept", "exactly the objective", "spent before the month ends", "overspent"],
)
def test_what_is_left_of_the_budget_and_when_it_ends(
    lost_per_hour: float, ends_on_day: float | None, tmp_path: Path
) -> None:
    """Share and messages that are left, negative when overspent; the end at the pace of a day, only if it is within the month."""
    lost = lost_per_hour * 24 * DAYS
    left = ALLOWED - lost
    expected: dict[str, float | None] = {
        "Budget left": round(left / ALLOWED, 4),
        "Messages left": round(left),
        "Not delivered": round(lost),
        # To the hour: the last moment of the month is as good as the month's end.
        "Budget ends": None if ends_on_day in {None, 31.0} else round(ends_on_day * 24) if ends_on_day else None,
    }
    rounding = {"Budget left": "round({}, 0.0001)", "Budget ends": "round(({}) / 3600000)"}
    series = "channel_country_status:twilio_messages:max"
    samples = DAYS * 24 * 12
    test = {
        "interval": "5m",
        "input_series": [
            {
                "series": f'{series}{{channel="sms",country="US",status="delivered"}}',
                "values": f"0+{(FINISHED_PER_HOUR - lost_per_hour) / 12}x{samples}",
            },
            {
                "series": f'{series}{{channel="sms",country="US",status="undelivered"}}',
                "values": f"0+{lost_per_hour / 12}x{samples}",
            },
            {"series": "all:twilio_delivery_objective:ratio", "values": f"0.95x{samples}"},
            {"series": "all:twilio_messages_not_delivered:increase1d", "values": f"{lost_per_hour * 24}x{samples}"},
        ],
        "promql_expr_test": [
            {
                "expr": rounding.get(title, "round({})").format(expression(title)),
                "eval_time": f"{DAYS}d",
                "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
            }
            for title, value in expected.items()
        ],
    }
    path = tmp_path / "budget.yml"
    path.write_text(yaml.safe_dump({"evaluation_interval": "1h", "tests": [test]}), encoding="utf-8")
    promtool("test", "rules", str(path))
