"""The load generator: wrk, from Debian, on one thread, over connections that stay open."""

import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Final

import msgspec

SCRIPT: Final = Path(__file__).parent / "requests.lua"

EXTRA_SECONDS: Final = 60
"""How much longer than its load wrk may take: it reads its file first."""


class BenchError(Exception):
    """The benchmark cannot go on, or its figures would say something else than they seem to. The message says why."""


class Said(msgspec.Struct):
    """What requests.lua says at the end. Latencies in microseconds."""

    requests: int
    microseconds: int
    bad_answers: int
    broken: int
    p50: float
    p99: float


class Load(msgspec.Struct):
    """What came of one load: every request was answered with 200."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_seconds: float
    """wrk's own."""

    @property
    def rate(self) -> float:
        """Requests answered a second."""
        return self.requests / self.seconds


def require_wrk() -> None:
    """Raises BenchError when wrk is not installed."""
    if shutil.which("wrk") is None:
        raise BenchError("wrk is not installed, and nothing slower can load the server: apt-get install wrk")


def wrk_version() -> str:
    """As it names itself."""
    printed = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout
    return printed.partition("[")[0].removeprefix("wrk ").strip()


def run_wrk(port: int, requests: Path, *, seconds: int, connections: int) -> Load:
    """Load the server on a port of the loopback address. Raises BenchError unless every answer was 200 in time."""
    before = _cpu_of_children()
    command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s", f"--script={SCRIPT}"]
    run = subprocess.run(
        [*command, f"http://127.0.0.1:{port}", "--", str(requests)],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + EXTRA_SECONDS,
        env={"PATH": os.environ["PATH"]},
    )
    if run.returncode != 0 or not run.stderr.startswith("{"):
        raise BenchError(f"wrk failed: {run.stderr.strip() or run.stdout.strip()}")
    said = msgspec.json.decode(run.stderr, type=Said)
    if said.bad_answers or said.broken or not said.requests:
        raise BenchError(
            f"of {said.requests} requests {said.bad_answers} were answered otherwise than with 200, "
            f"{said.broken} not at all"
        )
    cpu_seconds = _cpu_of_children() - before
    return Load(said.requests, said.microseconds / 1e6, said.p50 / 1000, said.p99 / 1000, cpu_seconds)


def _cpu_of_children() -> float:
    """Of the processes that have ended, in seconds; wrk is the only one that ends while it runs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
