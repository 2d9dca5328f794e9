"""What Grafana is given at its start."""

import re
from typing import Any

from tests.grafana.shipped import GRAFANA, PROMETHEUS, dashboards, read_yaml

PROVISIONING = GRAFANA / "provisioning"


def data_sources() -> dict[str, dict[str, Any]]:
    """The provisioned data sources by type."""
    config: dict[str, Any] = read_yaml(PROVISIONING / "datasources" / "tracker.yml")
    return {source["type"]: source for source in config["datasources"]}


def test_each_dashboard_finds_its_data_sources() -> None:
    """Every type of data source that a dashboard offers to choose from is provisioned, once, with a uid that stays."""
    wanted = {
        variable.text for one in dashboards() for variable in one.templating.list if variable.type == "datasource"
    }
    assert wanted == data_sources().keys()
    assert {source["uid"] for source in data_sources().values()} == {"tracker-prometheus", "tracker-postgresql"}


def test_no_secret_and_no_address_is_in_the_files() -> None:
    """Addresses and names come from the environment, the password from a file."""
    postgresql = data_sources()["grafana-postgresql-datasource"]
    assert re.fullmatch(r"\$__file\{/run/secrets/\w+\}", postgresql["secureJsonData"]["password"])
    values = [
        postgresql["url"],
        postgresql["user"],
        postgresql["jsonData"]["database"],
        data_sources()["prometheus"]["url"],
    ]
    assert all(re.fullmatch(r"\$__env\{[A-Z_]+\}", value) for value in values)


def test_every_variable_of_the_environment_is_explained() -> None:
    """The file says at its top what each variable that it reads is for."""
    text = (PROVISIONING / "datasources" / "tracker.yml").read_text(encoding="utf-8")
    explained = set(re.findall(r"^#   (\w+) ", text, flags=re.MULTILINE))
    assert set(re.findall(r"\$__env\{(\w+)\}", text)) == explained


def test_grafana_knows_the_scrape_interval() -> None:
    """``$__rate_interval`` is computed from the interval that Prometheus really scrapes at."""
    scraped = read_yaml(PROMETHEUS / "prometheus.yml")["global"]["scrape_interval"]
    assert data_sources()["prometheus"]["jsonData"]["timeInterval"] == scraped


def test_exemplars_lead_to_the_audit() -> None:
    """A point on a chart carries a log position, which the audit dashboard takes in place of a SID."""
    (destination,) = data_sources()["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert destination["name"] == "position"
    uid, variable = re.fullmatch(r"/d/([\w-]+)\?var-(\w+)=\$\$\{__value\.raw\}", destination["url"]).groups()  # type: ignore[union-attr]
    (audit,) = [dashboard for dashboard in dashboards() if dashboard.uid == uid]
    assert variable in {one.name for one in audit.templating.list}


def test_dashboards_are_read_from_where_the_readme_mounts_them() -> None:
    """The path of the provider is the one that the documentation names."""
    (provider,) = read_yaml(PROVISIONING / "dashboards" / "tracker.yml")["providers"]
    assert f"`{provider['options']['path']}/`" in (GRAFANA / "README.md").read_text(encoding="utf-8")
