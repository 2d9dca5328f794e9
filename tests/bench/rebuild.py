"""How fast everything that is derived is made anew from the log, and what memory it takes."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec
import psutil

from tests.bench.progress import Progress
from tests.bench.results import Rebuild
from tests.bench.seed import SeededLog
from tests.bench.servers import running
from tests.bench.wrk import BenchError

SAMPLE_SECONDS: Final = 0.5
"""Looking for a process's children looks at all processes there are: often enough, that is a good part of a core."""

MAX_SECONDS: Final = 1800
"""A rebuild that takes longer is given up."""

MEBIBYTE: Final = 2**20


def measure_rebuild(log: SeededLog, directory: Path, progress: Progress) -> Rebuild:
    """Project the whole log once, then rebuild it."""
    _run(["project", "--once"], log, directory, progress)
    # What that leaves to be written and tidied must not be the rebuild's to wait for.
    log.settle()
    return _run(["rebuild", "--json"], log, directory, progress)


def _run(arguments: list[str], log: SeededLog, directory: Path, progress: Progress) -> Rebuild:
    command = [sys.executable, "-m", "tracker", *arguments]
    said = directory / f"{arguments[0]}.log"
    environment = {"DATABASE_URL": log.url, "TRACKER_DATA_DIR": str(directory / "unused")}
    how = f"tracker {arguments[0]}"
    with progress.task(f"{how} of {log.size:,} events"), running(command, said, environment=environment) as process:
        started = time.monotonic()
        memory = [(started, _memory(process))]
        while process.poll() is None:
            time.sleep(SAMPLE_SECONDS)
            memory.append((time.monotonic(), _memory(process)))
            if memory[-1][0] - started > MAX_SECONDS:
                raise BenchError(f"{how} took longer than {MAX_SECONDS} s")
        seconds = time.monotonic() - started
        if process.returncode != 0:
            raise BenchError(f"{how} failed:\n{said.read_text(encoding='utf-8', errors='replace')[-2000:]}")
    # The last samples may have seen a process that was ending already.
    memory = [(when, size) for when, size in memory if size]
    parts = {"10%": 0.1, "50%": 0.5, "100%": 1.0}
    at = {name: max(size for when, size in memory if when <= started + seconds * part) for name, part in parts.items()}
    filling = _filling_seconds(said) if "--json" in arguments else seconds
    return Rebuild(how, log.size, seconds, filling, {**at, "peak": max(size for _, size in memory)})


def _filling_seconds(said: Path) -> float:
    """As the command reports it, among lines of its log."""
    (report,) = [line for line in said.read_bytes().splitlines() if b'"filling_seconds"' in line]
    return float(msgspec.json.decode(report)["filling_seconds"])


def _memory(process: "subprocess.Popen[bytes]") -> float:
    """Resident memory of a process and its children, MiB; 0 when it has ended."""
    try:
        parent = psutil.Process(process.pid)
        return sum(each.memory_info().rss for each in (parent, *parent.children(recursive=True))) / MEBIBYTE
    except psutil.NoSuchProcess:
        return 0.0
