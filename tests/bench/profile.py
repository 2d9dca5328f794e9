"""Where the tracker's processes spend their time: py-spy beside a load, on request."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

SAMPLES_A_SECOND: Final = 200
"""More would slow down what is measured."""


@contextmanager
def profiled(processes: Mapping[str, psutil.Process], directory: Path | None, seconds: int) -> Iterator[None]:
    """Write ``NAME.svg`` flame graphs of the web worker and the projector. directory: None profiles nothing."""
    if directory is None:
        yield
        return
    directory.mkdir(parents=True, exist_ok=True)
    py_spy = Path(sys.executable).with_name("py-spy")
    profilers = [
        subprocess.Popen(
            [
                *(py_spy, "record", "--nonblocking", "--pid", str(processes[name].pid), "--duration", str(seconds)),
                *("--rate", str(SAMPLES_A_SECOND), "--output", directory / f"{name}.svg"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name in ("web", "projector")
        if name in processes
    ]
    try:
        yield
    finally:
        for profiler in profilers:
            profiler.wait(seconds + 30)
