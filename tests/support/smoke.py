"""One signed callback through an installed program, from its server to its history.

Usage: PYTHON tests/support/smoke.py, with the Python of an environment that has the program's wheel, outside of any checkout. The
exit code is 0 when ``tracker history`` shows the callback.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from twilio.request_validator import RequestValidator

ACCOUNT_SID = "AC" + "1" * 32
MESSAGE_SID = "SM" + "2" * 32
TOKEN = "5d41402abc4b2a76b9719d911017c592"
SECONDS = 120.0
"""Until the server must have answered."""


def main() -> None:
    """Serve, post, and read the history. AssertionError or subprocess.CalledProcessError where one of them fails."""
    found = find_spec("tracker")
    assert found is not None, "the program is not installed"
    assert found.origin is not None and Path(sys.prefix) in Path(found.origin).parents, found.origin
    with tempfile.TemporaryDirectory(prefix="tracker-smoke-") as directory:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = os.environ | {
            "TRACKER_DATA_DIR": f"{directory}/data",
            "TRACKER_PORT": str(port),
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": TOKEN,
        }
        program = str(Path(sys.executable).with_name("tracker"))
        server = subprocess.Popen([program, "serve"], env=environment, cwd=directory)
        try:
            post_callback(f"http://127.0.0.1:{port}/webhooks/twilio/status")
            wait_until_projected(f"http://127.0.0.1:{port}/healthz")
            history = subprocess.run(
                [program, "history", MESSAGE_SID, "--json"],
                env=environment,
                cwd=directory,
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        finally:
            server.terminate()
            server.wait(60)
        assert "delivered" in history, history
        assert server.returncode == 0, server.returncode
    print(f"Python {sys.version.split()[0]}: one callback served, stored and shown by tracker history")


def post_callback(url: str) -> None:
    """Post a signed callback until it is answered 200."""
    params = {"AccountSid": ACCOUNT_SID, "MessageSid": MESSAGE_SID, "MessageStatus": "delivered"}
    signature = RequestValidator(TOKEN).compute_signature(url, params)
    request = urllib.request.Request(
        url,
        data=urllib.parse.urlencode(params).encode(),
        headers={"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer(request)[0] == 200


def wait_until_projected(url: str) -> None:
    """Wait until the projections have applied the callback."""
    deadline = time.monotonic() + SECONDS
    while True:
        code, body = answer(urllib.request.Request(url))
        health = json.loads(body)
        lags = [each["lag_events"] for each in health.get("projections", [])]
        if code == 200 and health.get("position") == 1 and lags and not any(lags):
            return
        assert time.monotonic() < deadline, body
        time.sleep(0.1)


def answer(request: urllib.request.Request) -> tuple[int, bytes]:
    """Status code and body, as soon as the server listens."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            assert time.monotonic() < deadline, f"{request.full_url} does not answer"
            time.sleep(0.1)


if __name__ == "__main__":
    main()
