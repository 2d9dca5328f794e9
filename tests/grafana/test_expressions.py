"""Every PromQL expression that is shipped: Prometheus can read it, and what it names exists."""

import re
from pathlib import Path

import pytest
import yaml

from tests.grafana.expressions import DEFAULTS, fill, promql, sql
from tests.grafana.known_metrics import known
from tests.grafana.promql_names import Selector, grouped_labels, selectors
from tests.grafana.promtool import promtool


def test_prometheus_can_read_every_expression(tmp_path: Path) -> None:
    """Everything from panels to the runbook parses and type-checks, with variables filled in."""
    found = list(promql())
    assert len(found) > 100
    recorded = [{"record": f"check:expression:{index}", "expr": one.text} for index, one in enumerate(found)]
    path = tmp_path / "expressions.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "expressions", "rules": recorded}]}), encoding="utf-8")
    promtool("check", "rules", str(path))


def test_every_series_exists_with_the_labels_it_is_selected_by() -> None:
    """No panel, annotation, variable, rule or query of the runbook asks for a metric or a label that nobody exposes."""
    series = known()
    wrong: list[str] = []
    for one in promql():
        names: set[str] = set()
        for selector in selectors(one.text):
            matching = [name for name in series if named(selector, name)]
            if not matching:
                wrong.append(f"{one.where}: {selector.name} does not exist")
            names.update(matching)
            wrong += [
                f"{one.where}: {name} has no label {label}"
                for name in matching
                for label in selector.labels - series[name]
            ]
        labels = frozenset[str]().union(*(series[name] for name in names))
        wrong += [f"{one.where}: nothing has a label {label}" for label in grouped_labels(one.text) - labels]
    assert wrong == []


def named(selector: Selector, name: str) -> bool:
    """Whether the selector names the series."""
    return re.fullmatch(selector.name, name) is not None if selector.pattern else selector.name == name


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("sum(up)", {Selector("up", frozenset())}),
        (
            'a_total{x="1",y=~"b c"} / on (z) group_left (w) b:c:d offset 1w',
            {
                Selector("a_total", frozenset({"x", "y"})),
                Selector("b:c:d", frozenset()),
            },
        ),
        ('max by (z) ({__name__=~"a_(b|c)"}[5m] @ end())', {Selector("a_(b|c)", frozenset(), pattern=True)}),
        ("histogram_quantile(0.5, sum by (le) (rate(x_bucket[1m]))) > bool 1e3", {Selector("x_bucket", frozenset())}),
        ("a and on () b unless c or vector(0)", {Selector(name, frozenset()) for name in "abc"}),
    ],
    ids=["plain", "matchers and joins", "name by pattern", "functions and numbers", "set operators"],
)
def test_names_are_found(expr: str, expected: set[Selector]) -> None:
    """The finder sees the series of an expression and takes no keyword, function, label or number for one."""
    assert set(selectors(expr)) == expected


def test_no_variable_is_left_in_what_is_sent() -> None:
    """Every variable that a query uses has a value; one without is an error and not an empty string."""
    sent = [*promql(), *sql()]
    assert [one.where for one in sent if re.search(r"\$[{\w]", one.text)] == []
    with pytest.raises(KeyError):
        fill("rate(x[$__unheard_of])", DEFAULTS)


def test_typed_text_cannot_leave_its_sql_string() -> None:
    """A quote in a typed variable stays within the string that it is in."""
    assert fill("x = ${sid:sqlstring}", {"sid": "a' OR '1'='1"}) == "x = 'a'' OR ''1''=''1'"
    raw = [one.raw for one in sql() if re.search(r"\$\{?(sid|message_sid|channel)(?!\w*:sqlstring)", one.raw)]
    assert raw == []
