"""Rules that every dashboard keeps."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from grafana.builder.__main__ import out_of_date, rendered
from grafana.builder.fields import COUNT
from grafana.builder.queries import QUERIES
from grafana.builder.runbook import PATH as RUNBOOK_PATH
from tests.grafana.expressions import annotation_promql, panel_promql, promql
from tests.grafana.shipped import GRAFANA, Dashboard, Link, Panel, Place, Source, dashboards, panels

GRID_WIDTH = 24
WINDOW = re.compile(r"\[([^\]]+)\]")
DASHBOARD_LINK = re.compile(r"^/d/(?P<uid>[\w-]+)(?:\?(?P<query>.*))?$")
BUILT_IN_VARIABLES = {
    "__value",
    "__data",
    "__url_time_range",
    "__rate_interval",
    "__range",
    "__range_s",
    "__interval",
    "__timeFrom",
    "__timeTo",
}

each_panel = pytest.mark.parametrize(("where", "panel"), panels(), ids=[where for where, _ in panels()])
each_dashboard = pytest.mark.parametrize("dashboard", dashboards(), ids=[dashboard.uid for dashboard in dashboards()])


def test_dashboards_are_as_the_builder_writes_them() -> None:
    """The committed JSON is the generated JSON: nothing changed by hand, missing or left over."""
    assert out_of_date(GRAFANA / "dashboards") == []


def test_what_is_out_of_date_is_named(tmp_path: Path) -> None:
    """A changed, a missing and a left-over file are all found."""
    names = sorted(rendered())
    for name in names[1:]:
        (tmp_path / name).write_text(rendered()[name], encoding="utf-8")
    (tmp_path / names[1]).write_text("{}\n", encoding="utf-8")
    (tmp_path / "old.json").write_text("{}\n", encoding="utf-8")
    assert out_of_date(tmp_path) == sorted([names[0], names[1], "old.json"])


def test_the_builder_is_a_command() -> None:
    """``python -m grafana.builder --check`` is how a build finds out."""
    done = subprocess.run(
        [sys.executable, "-m", "grafana.builder", "--check"],
        cwd=GRAFANA.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_four_dashboards() -> None:
    """The dashboards that the documentation, the alerts and the bookmarks name, by uids that stay."""
    assert {dashboard.uid: dashboard.title for dashboard in dashboards()} == {
        "tracker-delivery": "Delivery",
        "tracker-errors": "Errors",
        "tracker-pipeline": "Pipeline",
        "tracker-audit": "Message audit",
    }


def test_every_query_file_is_used() -> None:
    """No SQL file is left over, and each opens with what it does."""
    shipped = json.dumps(
        [json.loads(path.read_text(encoding="utf-8")) for path in (GRAFANA / "dashboards").glob("*.json")]
    )
    for path in QUERIES.glob("*.sql"):
        text = path.read_text(encoding="utf-8")
        assert json.dumps(text)[1:-1] in shipped, path.name
        assert text.startswith("-- "), path.name


@each_panel
def test_panel_says_what_it_shows(where: str, panel: Panel) -> None:
    """A title, a description that is a sentence, a unit, and at least one query."""
    assert panel.title, where
    assert panel.description.endswith("."), where
    assert len(panel.description) > 20, where
    assert panel.field_config is not None
    assert panel.field_config.defaults.unit, where
    assert panel.targets, where


@each_panel
def test_queries_of_a_panel_have_letters_of_their_own(where: str, panel: Panel) -> None:
    """Two queries with one letter would overwrite each other."""
    letters = [target.ref_id for target in panel.targets]
    assert len(set(letters)) == len(letters), where


@each_dashboard
def test_data_sources_are_variables(dashboard: Dashboard) -> None:
    """A dashboard works with whatever Prometheus and PostgreSQL it is given: it names none."""
    expected = {"prometheus": "${prometheus}", "grafana-postgresql-datasource": "${postgresql}"}
    offered = {variable.name: variable.text for variable in dashboard.templating.list if variable.type == "datasource"}
    used = list(sources(dashboard))
    assert used
    for source in used:
        assert source.uid == expected[source.type]
    assert offered == {expected[source.type][2:-1]: source.type for source in used}


def sources(dashboard: Dashboard) -> Iterator[Source]:
    """Every data source that something in the dashboard names."""
    for panel in dashboard.panels:
        if panel.datasource is not None:
            yield panel.datasource
        yield from (target.datasource for target in panel.targets)
    yield from (variable.datasource for variable in dashboard.templating.list if variable.datasource is not None)
    yield from (annotation.datasource for annotation in dashboard.annotations.list)


def test_no_instance_is_named() -> None:
    """No expression selects an instance, a host or a port."""
    assert [one.where for one in promql() if re.search(r"instance\s*[=!]|:\d{4}\b|localhost", one.raw)] == []


def test_windows_fit_the_time_range() -> None:
    """Rates on dashboards are over ``$__rate_interval``; figures about the whole range are over ``$__range``."""
    wrong: list[str] = []
    for one in [*panel_promql(), *annotation_promql()]:
        allowed = {"$__range", "$__rate_interval"}
        wrong += [f"{one.where}: [{window}]" for window in WINDOW.findall(one.raw) if window not in allowed]
        if re.search(r"\b(rate|increase|irate|delta)\(", one.raw) and not WINDOW.search(one.raw):
            wrong.append(f"{one.where}: a rate without a window")
    assert wrong == []


def test_curves_do_not_rate_over_the_whole_range() -> None:
    """A curve over ``$__range`` would be a moving average as long as the picture; with ``@ end()`` it is one figure."""
    curves = [one for one in panel_promql() if not one.instant]
    assert curves
    assert [one.where for one in curves if "[$__range]" in one.raw.replace("[$__range] @ end()", "")] == []


@each_dashboard
def test_panels_have_places_and_ids_of_their_own(dashboard: Dashboard) -> None:
    """Ids are unique, panels are on the grid and do not overlap."""
    repeated = [number for number, count in Counter(panel.id for panel in dashboard.panels).items() if count > 1]
    assert repeated == []
    for panel in dashboard.panels:
        assert 0 <= panel.grid_pos.x < panel.grid_pos.x + panel.grid_pos.w <= GRID_WIDTH, panel.title
    overlapping = [
        (one.title, other.title)
        for one, other in combinations(dashboard.panels, 2)
        if overlap(one.grid_pos, other.grid_pos)
    ]
    assert overlapping == []


def overlap(one: Place, other: Place) -> bool:
    """Whether two panels share a cell."""
    beside = one.x + one.w <= other.x or other.x + other.w <= one.x
    above = one.y + one.h <= other.y or other.y + other.h <= one.y
    return not (beside or above)


@each_dashboard
def test_the_answer_is_at_the_top(dashboard: Dashboard) -> None:
    """The first line of a dashboard is figures, which fill its width, and it fits on a small screen's first page."""
    first = [panel for panel in dashboard.panels if panel.grid_pos.y == 1]
    assert {panel.type for panel in first} == {"stat"}
    assert sum(panel.grid_pos.w for panel in first) == GRID_WIDTH


@each_dashboard
def test_links_lead_somewhere(dashboard: Dashboard) -> None:
    """Links are to our dashboards with variables that they have, to the tracker's own pages or to Twilio's."""
    variables = {one.uid: {variable.name for variable in one.templating.list} for one in dashboards()}
    found = list(links(dashboard))
    assert found
    for link in found:
        match = DASHBOARD_LINK.match(link.url)
        if match:
            assert match["uid"] in variables, link.url
            assert set(re.findall(r"\bvar-(\w+)=", match["query"] or "")) <= variables[match["uid"]], link.url
        else:
            allowed = ("${tracker_url:raw}/", f"{RUNBOOK_PATH}#", "https://www.twilio.com/docs/api/errors")
            assert link.url.startswith(allowed), link.url
        used = set(re.findall(r"\$\{(\w+)", link.url))
        assert used <= variables[dashboard.uid] | BUILT_IN_VARIABLES, link.url


def links(dashboard: Dashboard) -> Iterator[Link]:
    """Every link with an address: of the dashboard, its panels, their series and cells."""
    yield from (link for link in dashboard.links if link.type == "link")
    for panel in dashboard.panels:
        yield from panel.links
        if panel.field_config is not None:
            yield from panel.field_config.defaults.links
            for override in panel.field_config.overrides:
                for one in override.properties:
                    if one.id == "links":
                        yield from (Link(title=link["title"], url=link["url"]) for link in one.value)


@each_dashboard
def test_dashboards_lead_to_each_other(dashboard: Dashboard) -> None:
    """Each has links to whatever carries the tag that all of them carry, and to the tracker's own pages."""
    assert dashboard.tags == ["tracker"]
    assert [link.tags for link in dashboard.links if link.type == "dashboards"] == [["tracker"]]
    assert [link.url for link in dashboard.links if link.type == "link"] == ["${tracker_url:raw}/"]


@each_dashboard
def test_deploys_and_rebuilds_are_marked(dashboard: Dashboard) -> None:
    """Every dashboard of curves marks them, and what people noted, so that a step can be laid to one; the audit has no use for them."""
    marked = {annotation.name for annotation in dashboard.annotations.list}
    assert marked == (set() if dashboard.uid == "tracker-audit" else {"Deploys", "Rebuilds", "Notes"})


@each_panel
def test_an_empty_panel_says_why(where: str, panel: Panel) -> None:
    """Words of our own where there is no data: a night without traffic, or a week before the tracker was there."""
    assert panel.field_config is not None
    assert panel.field_config.defaults.no_value, where


def test_a_comparison_with_last_week_says_when_there_is_none() -> None:
    """The figure, and the columns of tables, have words for a week without data."""
    by_title = dict(panels())
    alone = by_title["Delivery / Against last week"].field_config
    assert alone is not None
    assert "week ago" in alone.defaults.no_value
    for where, columns in {
        "Delivery / Countries against the week before": {"Week before", "Change"},
        "Errors / Top ten codes": {"Week before"},
    }.items():
        config = by_title[where].field_config
        assert config is not None
        said = {
            override.matcher["options"]
            for override in config.overrides
            for one in override.properties
            if one.id == "noValue"
        }
        assert columns <= said, where


def test_counts_have_no_decimals() -> None:
    """What is counted in whole things is shown so; no figure is shortened to thousands, which hides the last digits."""
    counted = 0
    for where, panel in panels():
        assert panel.field_config is not None
        looks = [(panel.field_config.defaults.unit, panel.field_config.defaults.decimals)]
        for override in panel.field_config.overrides:
            values = {one.id: one.value for one in override.properties}
            looks.append((values.get("unit", ""), values.get("decimals")))
        for unit, decimals in looks:
            assert unit != "short", where
            if unit in {COUNT, "suffix: events"}:
                assert decimals == 0, where
                counted += 1
    assert counted > 20


def test_counts_are_recognised_by_their_query() -> None:
    """A figure that only adds up an increase, a gauge of events or of messages has the unit of counts."""
    for where, panel in panels():
        whole = [
            one.expr
            for one in panel.targets
            if one.expr and re.match(r"sum\((increase|twilio_messages_open)\b", one.expr)
        ]
        if panel.type == "stat" and whole and "/" not in whole[0] and "usd" not in whole[0]:
            assert panel.field_config is not None
            assert panel.field_config.defaults.unit == COUNT, where


@pytest.mark.parametrize("uid", ["tracker-delivery", "tracker-pipeline"])
def test_firing_alerts_are_named_with_their_chapters(uid: str) -> None:
    """A table below the first line lists them, but for the watchdog; the name leads to the runbook's page."""
    (dashboard,) = [one for one in dashboards() if one.uid == uid]
    (panel,) = [one for one in dashboard.panels if one.title == "Firing alerts"]
    assert panel.grid_pos.y <= 8
    (target,) = panel.targets
    assert target.expr == 'ALERTS{alertstate="firing",service="tracker",severity!="none"}'
    assert f"{RUNBOOK_PATH}#${{__value.raw}}" in [link.url for link in links(dashboard)]


def test_quantiles_are_those_that_their_names_say() -> None:
    """A series or a figure named 95% asks for the quantile 0.95."""
    found = 0
    for where, panel in panels():
        for target in panel.targets:
            name = re.match(r"(\d+)%", target.legend_format or panel.title)
            quantiles = re.findall(r"histogram_quantile\(([\d.]+),", target.expr or "")
            if "Median" in panel.title:
                assert quantiles == ["0.5"], where
            elif quantiles:
                assert name is not None, where
                assert quantiles == [f"{int(name[1]) / 100}"], where
                found += 1
    assert found >= 8


def test_messages_and_codes_in_tables_are_links() -> None:
    """In every table, a message's SID leads to its page in the tracker, and an error code to Twilio's page."""
    tables = [(where, panel) for where, panel in panels() if panel.type == "table"]
    linked = 0
    for where, panel in tables:
        assert panel.field_config is not None
        by_name = {
            override.matcher["options"]: {one.id: one.value for one in override.properties}
            for override in panel.field_config.overrides
        }
        for column, page in [
            ("Message", "${tracker_url:raw}/messages/${__value.raw}"),
            ("Code", "/docs/api/errors/${__value.raw}"),
        ]:
            if any(f'AS "{column}"' in (target.raw_sql or "") for target in panel.targets):
                urls = [link["url"] for link in by_name[column]["links"]]
                assert any(url.endswith(page) for url in urls), where
                linked += 1
    assert linked >= 6
