"""docker-compose.yml: valid by the specification, complete, and no service with more than it needs."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deployment.compose import ROOT, VARIABLE, compose_text, example_environment, read_compose
from tracker.http.connection_limits import MAX_HELD_BYTES
from tracker.postgres.embedded.server import LOCALE_OPTIONS

COMPOSE = read_compose()
SERVICES = sorted(COMPOSE.services)
OURS = ("migrate", "projector", "tracker")


def test_the_file_follows_the_compose_specification() -> None:
    """The schema is the specification's own, as check-jsonschema ships it."""
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(ROOT / "docker-compose.yml"),
    ]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_service_of_the_plan_is_there() -> None:
    """The tracker apart from its projector, the database, and what watches them."""
    assert SERVICES == ["alertmanager", "grafana", "migrate", "postgres", "projector", "prometheus", "tracker"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_gets_no_more_than_it_needs(name: str) -> None:
    """Not root, nothing written but volumes and memory, no capabilities, and none to be gained."""
    service = COMPOSE.services[name]
    uid, _, gid = service.user.partition(":")
    assert uid.isdigit() and int(uid) > 0 and gid.isdigit()
    assert service.read_only
    assert service.cap_drop == ["ALL"]
    assert service.security_opt == ["no-new-privileges:true"]
    assert not service.privileged
    assert service.tmpfs, "a read-only file system needs a /tmp"


@pytest.mark.parametrize("name", OURS)
def test_our_services_have_limits_of_memory_and_processes(name: str) -> None:
    """Whole gigabytes, so that one attacked service cannot take the host's memory from the database beside it."""
    service = COMPOSE.services[name]
    assert re.fullmatch(r"[1-9]g", service.mem_limit)
    assert 16 <= service.pids_limit <= 1024


def test_the_tracker_may_take_what_its_workers_may_hold() -> None:
    """Three workers, each with all that strangers can make it hold and half as much again, fit into its limit."""
    gigabytes = int(COMPOSE.services["tracker"].mem_limit.removesuffix("g"))
    assert gigabytes * 2**30 > 3 * (80 * 2**20 + MAX_HELD_BYTES * 3 // 2) + 100 * 2**20


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned(name: str) -> None:
    """To a whole version, never `latest` or a line of versions, so that a start tomorrow is the start of today."""
    image, _, tag = COMPOSE.services[name].image.rpartition(":")
    assert image
    assert re.match(r"v?\d+\.\d+(\.\d+)?($|-)", tag), tag


def test_our_image_has_our_version() -> None:
    """A release changes the tag, so that an old image is not taken for a new one."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert {COMPOSE.services[name].image for name in OURS} == {f"twilio-status-tracker:{version}"}
    assert {COMPOSE.services[name].build for name in OURS} == {"."}


def test_texts_are_in_the_same_order_as_in_the_embedded_database() -> None:
    """By code point: an image with another libc changes no order that an index relies on."""
    assert COMPOSE.services["postgres"].environment["POSTGRES_INITDB_ARGS"].split() == list(LOCALE_OPTIONS)


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "migrate"])
def test_a_service_that_stays_says_whether_it_is_well(name: str) -> None:
    """By a command without a shell, because some of the images have none. A job that ends has no such check."""
    check = COMPOSE.services[name].healthcheck
    assert check.test[:1] == ["CMD"] and len(check.test) > 1
    assert COMPOSE.services["migrate"].healthcheck.disable


def test_services_wait_for_what_they_need() -> None:
    """The schema before what uses it, the database before the schema, something to scrape before Prometheus."""
    waits = {
        (name, needed): dependency.condition
        for name, service in COMPOSE.services.items()
        for needed, dependency in service.depends_on.items()
    }
    assert waits == {
        ("migrate", "postgres"): "service_healthy",
        ("tracker", "migrate"): "service_completed_successfully",
        ("projector", "migrate"): "service_completed_successfully",
        ("grafana", "migrate"): "service_completed_successfully",
        ("grafana", "prometheus"): "service_healthy",
        ("prometheus", "tracker"): "service_healthy",
        ("prometheus", "alertmanager"): "service_healthy",
    }
    for needed, condition in {(needed, condition) for (_, needed), condition in waits.items()}:
        assert (COMPOSE.services[needed].restart == "no") == (condition == "service_completed_successfully")
        assert COMPOSE.services[needed].healthcheck.disable == (condition == "service_completed_successfully")


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_host_only(name: str) -> None:
    """What the world may reach goes through a proxy that ends TLS. The database has no port at all."""
    ports = COMPOSE.services[name].ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert name != "postgres" or not ports


def test_the_database_is_on_a_network_of_its_own() -> None:
    """It reaches nothing outside, and only what asks it anything reaches it."""
    assert COMPOSE.networks["database"] == {"internal": True}
    assert COMPOSE.services["postgres"].networks == ["database"]
    assert {name for name in SERVICES if "database" in COMPOSE.services[name].networks} == {
        "postgres", "migrate", "tracker", "projector", "grafana",
    }  # fmt: skip


def test_every_network_and_volume_is_declared_and_used() -> None:
    """A name that is written in two ways would silently be two things."""
    networks = {network for service in COMPOSE.services.values() for network in service.networks}
    volumes = {volume.partition(":")[0] for service in COMPOSE.services.values() for volume in service.volumes}
    assert networks == set(COMPOSE.networks)
    assert {volume for volume in volumes if not volume.startswith(".")} == set(COMPOSE.volumes)


def test_what_must_outlive_a_container_is_in_a_volume() -> None:
    """The log, the spool of callbacks that were answered, the metrics, silences, dashboards' users."""
    kept = {
        name: [volume for volume in service.volumes if not volume.startswith(".")]
        for name, service in COMPOSE.services.items()
    }
    assert {name: volumes for name, volumes in kept.items() if volumes} == {
        "postgres": ["postgres-data:/var/lib/postgresql"],
        "tracker": ["tracker-data:/var/lib/tracker"],
        "prometheus": ["prometheus-data:/prometheus"],
        "alertmanager": ["alertmanager-data:/alertmanager"],
        "grafana": ["grafana-data:/var/lib/grafana"],
    }


@pytest.mark.parametrize(
    "mount",
    sorted({volume for service in COMPOSE.services.values() for volume in service.volumes if volume.startswith(".")}),
)
def test_a_mounted_file_exists_and_is_read_only(mount: str) -> None:
    """Docker makes an empty directory of a file that is missing, and the service starts without its configuration."""
    source, _, mode = mount.partition(":")[0], *mount.rpartition(":")[1:]
    assert (ROOT / source).exists()
    assert mode == "ro"


def test_every_variable_is_explained() -> None:
    """In .env.example, which has no other; and one without a default stops the start with a message."""
    used = {found[0]: (found[1], found[2]) for found in VARIABLE.findall(compose_text())}
    assert "$" not in VARIABLE.sub("", compose_text())
    assert set(used) == set(example_environment())
    assert all(mark in {"-", "?"} and text for mark, text in used.values())


def test_defaults_are_the_examples() -> None:
    """So that .env.example tells what happens without it."""
    example = example_environment()
    defaults = {name: text for name, mark, text in VARIABLE.findall(compose_text()) if mark == "-"}
    assert defaults == {name: example[name] for name in defaults}


def test_the_projector_and_the_tracker_are_one_server() -> None:
    """The derived counters are shown by the web workers whose server's projector is active."""
    instances = {COMPOSE.services[name].environment["TRACKER_INSTANCE_ID"] for name in ("projector", "tracker")}
    assert len(instances) == 1


def test_prometheus_has_what_its_configuration_names() -> None:
    """The targets, the alert manager, the rules and the tracker's own API token of grafana/prometheus/prometheus.yml are at these names."""
    configuration = (ROOT / "grafana/prometheus/prometheus.yml").read_text(encoding="utf-8")
    assert "targets: [tracker:8000]" in configuration
    assert "targets: [alertmanager:9093]" in configuration
    assert "rules/*.yml" in configuration
    (secret,) = re.findall(r"credentials_file: /run/secrets/(\w+)", configuration)
    tracker = COMPOSE.services["tracker"].environment
    assert secret in COMPOSE.services["prometheus"].secrets
    assert tracker["TRACKER_API_TOKEN_FILE"] == f"/run/secrets/{secret}"
    assert "./grafana/prometheus/rules:/etc/prometheus/rules:ro" in COMPOSE.services["prometheus"].volumes


def test_grafana_is_given_what_its_provisioning_asks_for() -> None:
    """Every variable, every file and the dashboards' path."""
    grafana = COMPOSE.services["grafana"]
    sources = "".join(
        path.read_text(encoding="utf-8") for path in sorted((ROOT / "grafana/provisioning").rglob("*.yml"))
    )
    assert set(re.findall(r"\$__env\{(\w+)\}", sources)) == {
        name for name in grafana.environment if name.startswith("TRACKER_")
    }
    assert set(re.findall(r"\$__file\{/run/secrets/(\w+)\}", sources)) <= set(grafana.secrets)
    mounts = dict(volume.split(":")[:2] for volume in grafana.volumes)
    targets = {target: Path(source) for source, target in mounts.items()}
    dashboards = re.findall(r"^\s+path: (\S+)$", sources, re.MULTILINE)
    assert dashboards and set(dashboards) <= set(targets)
    folder, _, home = grafana.environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].rpartition("/")
    assert (ROOT / targets[folder] / home).is_file()
