"""A real Prometheus on the shipped files: other addresses and shorter intervals, all else as it is.

It comes from Debian's package ``prometheus``. Where it is missing, the tests that need it are skipped.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from tests.grafana.shipped import PROMETHEUS, read_yaml, rule_files
from tests.support.programs import find_program
from tests.support.serving import free_port
from tests.support.waiting import PATIENCE, wait_until

SCRAPE_SECONDS: Final = 3
"""Instead of 15. An answer without the database may take the tracker two seconds, so less would be a time-out during an outage."""

EVALUATION_SECONDS: Final = 1

GRAFANA_URL: Final = "https://grafana.example.com/ops"
"""Where the alerts' links lead."""


@dataclass(frozen=True)
class Series:
    """A series of an answer. samples: oldest first, as (seconds since 1970, value); at least one."""

    labels: Mapping[str, str]
    samples: list[tuple[float, float]]

    @property
    def value(self) -> float:
        """The last value."""
        return self.samples[-1][1]


class Prometheus:
    """A server that runs. Whatever it refuses is an AssertionError with its own words."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.client = httpx.Client(base_url=base_url, timeout=PATIENCE)

    def at(self, expr: str, moment: float | None = None) -> list[Series]:
        """The expression's value at a moment, seconds since 1970; None: now."""
        return self._series("query", {"query": expr} | ({} if moment is None else {"time": f"{moment:.3f}"}))

    def over(self, expr: str, start: float, end: float, step: float = SCRAPE_SECONDS) -> list[Series]:
        """The expression's values over a time range, one a step, as a chart asks for them."""
        return self._series(
            "query_range", {"query": expr, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step}"}
        )

    def number(self, expr: str, moment: float | None = None) -> float | None:
        """The value of an expression with one series; None when it has none."""
        found = self.at(expr, moment)
        assert len(found) <= 1, f"{expr}: {found}"
        return found[0].value if found else None

    def by_label(self, expr: str, label: str, moment: float | None = None) -> dict[str, float]:
        """The values of an expression, by a label that tells its series apart."""
        found = self.at(expr, moment)
        values = {series.labels.get(label, ""): series.value for series in found}
        assert len(values) == len(found), f"{expr}: {label} does not tell the series apart"
        return values

    def exemplars(self, expr: str, start: float, end: float) -> list[dict[str, Any]]:
        """The exemplars of an expression's series: labels, value, timestamp."""
        found = self.ask("query_exemplars", {"query": expr, "start": f"{start:.3f}", "end": f"{end:.3f}"})
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def firing(self) -> dict[tuple[str, str], dict[str, str]]:
        """The annotations of the alerts that fire, by the alert's name and its error code (empty where it has none)."""
        alerts: list[dict[str, Any]] = self.ask("alerts")["alerts"]
        return {
            (alert["labels"]["alertname"], alert["labels"].get("error_code", "")): alert["annotations"]
            for alert in alerts
            if alert["state"] == "firing"
        }

    def ask(self, what: str, parameters: Mapping[str, str] | None = None) -> Any:
        """The data of an answer of the HTTP API."""
        answer = self.client.get(f"/api/v1/{what}", params=parameters)
        document: dict[str, Any] = answer.json()
        assert document["status"] == "success", f"{parameters}: {document.get('error')}"
        return document["data"]

    def _series(self, what: str, parameters: Mapping[str, str]) -> list[Series]:
        data = self.ask(what, parameters)
        if data["resultType"] == "scalar":
            return [Series({}, [_sample(data["result"])])]
        return [
            Series(one["metric"], [_sample(pair) for pair in one.get("values") or [one["value"]]])
            for one in data["result"]
        ]


def _sample(pair: list[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def write_config(directory: Path, tracker: str, own: str, token: str) -> Path:
    """The shipped configuration and rules with other addresses (host:port), another API token, and with a second for each minute of
    waiting."""
    config: dict[str, Any] = read_yaml(PROMETHEUS / "prometheus.yml")
    config["global"] |= {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"}
    config["global"]["evaluation_interval"] = f"{EVALUATION_SECONDS}s"
    addresses = {"tracker": tracker, "prometheus": own}
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [addresses[job["job_name"]]]}]
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(directory / "token")
    (directory / "token").write_text(f"{token}\n", encoding="ascii")
    # Nobody is told.
    del config["alerting"]["alertmanagers"]
    (directory / "rules").mkdir(parents=True)
    for path in rule_files():
        rules: dict[str, Any] = read_yaml(path)
        for group in rules["groups"]:
            group.pop("interval", None)
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = hold_seconds(rule["for"])
        (directory / "rules" / path.name).write_text(yaml.safe_dump(rules), encoding="utf-8")
    path = directory / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def hold_seconds(hold: str) -> str:
    """An alert's ``for``, minutes turned into seconds."""
    match = re.fullmatch(r"(\d+)m", hold)
    assert match, hold
    return f"{match[1]}s"


@contextmanager
def running_prometheus(directory: Path, tracker: str, token: str) -> Iterator[Prometheus]:
    """Prometheus until the block ends. directory: empty, for its files. tracker: host:port that it watches, and its API token."""
    program = find_program("prometheus")
    own = f"127.0.0.1:{free_port()}"
    log = directory / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={write_config(directory, tracker, own, token)}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={own}",
                "--storage.tsdb.retention.time=40d",
                "--enable-feature=exemplar-storage,expand-external-labels",
            ],
            stdout=output, stderr=output, cwd=directory, env=os.environ | {"GRAFANA_ROOT_URL": GRAFANA_URL},
        )  # fmt: skip
    prometheus = Prometheus(f"http://{own}")
    try:
        wait_until(lambda: _is_ready(prometheus, process, log), "Prometheus to be ready")
        yield prometheus
    finally:
        prometheus.client.close()
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_ready(prometheus: Prometheus, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text(encoding="utf-8")
    try:
        return prometheus.client.get("/-/ready").is_success
    except httpx.TransportError:
        return False
