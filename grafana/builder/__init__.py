"""Builds the four dashboards in ``grafana/dashboards/`` from Python (docs/adr/0008-dashboards-from-python.md).

A dashboard is a list of rows, a row is a title and its panels, a panel is what it answers and the queries that answer
it::

    Row("Now", [
        stat(
            "Messages open",
            "Messages without an outcome. Thousands that only grow: callbacks are missing.",
            [prom("sum(twilio_messages_open)")],
            unit=COUNT, width=4,
        ),
    ])

Places and ids are given by the layout, so a panel is moved by moving its lines. Every panel must say what it shows
(title), how to read it (description) and in which unit: the constructors ask for all three.

PromQL stands beside its panel. SQL stands in ``grafana/queries/``, one statement a file, and is named with
``sql("name")``.

After a change::

    python -m grafana.builder          # writes grafana/dashboards/*.json
    python -m grafana.builder --check  # says which of them are out of date; exit code 1 if one is

The JSON is Grafana's classic dashboard model, schema version 41 (Grafana 12), which later versions still read:
https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""
