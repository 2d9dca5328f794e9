"""Recording rules and alerts."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.grafana.promtool import promtool
from tests.grafana.shipped import (
    GRAFANA,
    PROMETHEUS,
    RUNBOOK,
    Rule,
    alerts,
    dashboards,
    read_yaml,
    rule_files,
    rule_tests,
    rules,
)

ALWAYS_FIRING = "Watchdog"
"""The one alert that nobody is to be told of: its silence is the alarm."""

BASE = "{{ $externalLabels.grafana_url }}"
RUNBOOK_PAGE = "/public/tracker/runbook.html"

CHAPTER_PARTS = ["**What it means.**", "**How to confirm.**", "**What to do.**"]


def alert_cases() -> Iterator[tuple[str, bool]]:
    """Each alert that a rule test asks about, and whether it must fire then."""
    for path in rule_tests():
        for test in read_yaml(path)["tests"]:
            for case in test.get("alert_rule_test", []):
                yield case["alertname"], bool(case["exp_alerts"])


def chapters() -> dict[str, str]:
    """The runbook's chapters: anchor to text. GitHub and Grafana make anchors by lower-casing a heading."""
    parts = re.split(r"^## (\w+)$", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name.lower(): text for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_prometheus_accepts_the_configuration(tmp_path: Path) -> None:
    """The shipped scrape configuration is valid, and so is every rule file that it names."""
    config = (PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8")
    secret, own = "/run/secrets/tracker_api_token", tmp_path / "token"
    assert secret in config
    own.write_text("token")
    (tmp_path / "rules").symlink_to(PROMETHEUS / "rules")
    (tmp_path / "prometheus.yml").write_text(config.replace(secret, str(own)), encoding="utf-8")
    promtool("check", "config", str(tmp_path / "prometheus.yml"))


def test_prometheus_accepts_the_rules() -> None:
    """Every rule file is valid and has no rule twice."""
    promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, rule_files()))


@pytest.mark.parametrize("path", rule_tests(), ids=lambda path: path.stem)
def test_rules_do_as_their_tests_say(path: Path) -> None:
    """Alerts fire when they must and stay silent when they must."""
    promtool("test", "rules", str(path))


@pytest.mark.parametrize("must_fire", [True, False], ids=["firing", "silent"])
def test_every_alert_is_tested(must_fire: bool) -> None:
    """Each alert has a rule test in which it fires, and one in which it must not."""
    tested = {name for name, fires in alert_cases() if fires == must_fire}
    assert tested == {alert.name for alert in alerts()} - (set() if must_fire else {ALWAYS_FIRING})


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_alert_says_what_whoever_is_woken_needs(alert: Rule) -> None:
    """How bad it is, what it is, for how long it has been, which chapter of the runbook and which dashboard."""
    assert re.fullmatch(r"([A-Z][a-z]+)+", alert.name)
    assert alert.hold is not None
    assert alert.labels["severity"] in ({"none"} if alert.name == ALWAYS_FIRING else {"critical", "warning"})
    assert alert.labels["service"] == "tracker"
    assert {"summary", "description", "runbook_url", "dashboard"} == alert.annotations.keys()
    assert all(alert.annotations.values())
    page, _, anchor = alert.annotations["runbook_url"].partition("#")
    assert page == BASE + RUNBOOK_PAGE
    assert anchor == alert.name.lower()
    assert anchor in chapters()
    assert alert.annotations["dashboard"] in {f"{BASE}/d/{dashboard.uid}" for dashboard in dashboards()}


def test_one_setting_makes_links_absolute() -> None:
    """Links of alerts start with the external label ``grafana_url``, which no alert carries as a label. Its value is the address that
    compose gives to Grafana as well."""
    config: dict[str, Any] = read_yaml(PROMETHEUS / "prometheus.yml")
    assert config["global"]["external_labels"].keys() == {"grafana_url"}
    assert config["global"]["external_labels"]["grafana_url"] == "${GRAFANA_ROOT_URL}"
    services: dict[str, Any] = read_yaml(GRAFANA.parent / "docker-compose.yml")["services"]
    address: str = services["prometheus"]["environment"]["GRAFANA_ROOT_URL"]
    assert address == services["grafana"]["environment"]["GF_SERVER_ROOT_URL"]
    assert re.fullmatch(r"\$\{GRAFANA_ROOT_URL:-https?://[^/]+\}", address)
    assert {"regex": "grafana_url", "action": "labeldrop"} in config["alerting"]["alert_relabel_configs"]


@pytest.mark.parametrize("alert", sorted({alert.name for alert in alerts()} - {ALWAYS_FIRING}))
def test_every_threshold_is_tested_on_both_sides(alert: str) -> None:
    """Each alert has a rule test in which every figure is just above, and one for each figure in which it is just below."""
    above, below = (
        [
            bool(case["exp_alerts"])
            for path in rule_tests()
            for test in read_yaml(path)["tests"]
            if re.match(rf"{alert} just {side}\b", test["name"])
            for case in test["alert_rule_test"]
        ]
        for side in ("above", "below")
    )
    assert above
    assert all(above)
    assert below
    assert not any(below)


def test_runbook_has_a_whole_chapter_for_each_alert_and_no_other() -> None:
    """Every chapter says what the alert means, how to confirm it and what to do; no chapter is left over."""
    assert chapters().keys() == {alert.name.lower() for alert in alerts()}
    for anchor, text in chapters().items():
        places = [text.find(part) for part in CHAPTER_PARTS]
        assert -1 not in places, anchor
        assert places == sorted(places), anchor


def test_runbook_links_lead_to_its_chapters() -> None:
    """No link within the runbook leads nowhere."""
    targets = set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK.read_text(encoding="utf-8")))
    assert targets <= chapters().keys()
    assert targets >= {alert.name.lower() for alert in alerts()}


@pytest.mark.parametrize(
    "rule", [rule for rule in rules() if rule.record], ids=lambda rule: rule.name + str(rule.labels)
)
def test_recorded_series_are_named_by_level_metric_and_operations(rule: Rule) -> None:
    """``level:metric:operations``, the level being ``all`` or the labels that are left."""
    level, metric, operations = rule.name.split(":")
    assert re.fullmatch(r"all|channel|channel_country_status|country|error_code", level)
    assert re.fullmatch(r"(twilio|tracker)_[a-z_]+", metric)
    assert re.fullmatch(r"[a-z0-9_]+", operations)


def test_alertmanager_tells_nobody_until_somebody_is_named() -> None:
    """Routes lead to receivers that exist and send nothing; inhibitions name alerts that exist."""
    config: dict[str, Any] = read_yaml(GRAFANA / "alertmanager" / "alertmanager.yml")
    receivers = {receiver["name"]: receiver for receiver in config["receivers"]}
    routes = [config["route"], *config["route"]["routes"]]
    assert {route["receiver"] for route in routes} <= receivers.keys()
    assert all(receiver.keys() == {"name"} for receiver in receivers.values())
    inhibited = [
        name
        for rule in config["inhibit_rules"]
        for matcher in rule["source_matchers"] + rule["target_matchers"]
        for name in re.findall(r"[A-Z]\w+", matcher)
    ]
    assert inhibited
    assert set(inhibited) <= {alert.name for alert in alerts()}
