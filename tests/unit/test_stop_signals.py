"""Stop signals: counted, waited for, and harmless however close together they arrive."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tracker.stop_signals import URGENT_SIGNALS

PROGRAM = """
import os, sys, threading
from tracker.stop_signals import StopSignals
released = []
mode, signals = sys.argv[1], int(sys.argv[2])
with StopSignals(exits_when_urgent=mode == "exit") as stop:
    print("ready", flush=True)
    if mode == "exit":
        os.read(0, 1)
    elif mode == "busy":
        threading.Thread(target=lambda: released.append(os.read(0, 1))).start()
        while not released:
            pass
    print(stop.wait(60, signals), stop.is_set(), stop.is_urgent(), flush=True)
    os.read(0, 1)
print("left", flush=True)
os.read(0, 1)
"""

BOTH = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def program(mode: str, signals: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that waits for so many signals, then for a byte, leaves the block of StopSignals, and waits for another byte."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, mode, str(signals)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        try:
            assert read_line(process) == "ready"
            yield process
        finally:
            process.kill()


def read_line(process: "subprocess.Popen[bytes]") -> str:
    """The next line of its output."""
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def let_go(process: "subprocess.Popen[bytes]") -> None:
    """Send the byte that it waits for."""
    assert process.stdin is not None
    process.stdin.write(b"\n")


@pytest.mark.parametrize("number", BOTH)
def test_one_signal_ends_a_wait(number: signal.Signals) -> None:
    """Either of the two; the process goes on, and is not urged."""
    with program("wait", 1) as process:
        process.send_signal(number)
        assert read_line(process) == "True True False"


def test_a_burst_of_signals_neither_deadlocks_nor_kills() -> None:
    """Fifty thousand of both kinds, while the main thread computes: the handler of one is interrupted by the other again and again."""
    chance = random.Random(9)
    with program("busy", URGENT_SIGNALS) as process:
        for _ in range(50_000):
            os.kill(process.pid, chance.choice(BOTH))
        let_go(process)
        assert read_line(process) == "True True True"
        let_go(process)
        assert read_line(process) == "left"


def test_a_late_signal_does_not_change_the_exit_code() -> None:
    """Whoever is leaving has nothing left to stop."""
    with program("wait", 1) as process:
        process.send_signal(signal.SIGTERM)
        read_line(process)
        let_go(process)
        assert read_line(process) == "left"
        for number in BOTH:
            process.send_signal(number)
        let_go(process)
        assert process.wait(60) == 0


def test_the_third_signal_exits_where_nothing_waits_for_it() -> None:
    """The main thread is blocked in a read: two signals change nothing, the third exits with its number."""
    with program("exit", 1) as process:
        for number in BOTH:
            process.send_signal(number)
        # Different numbers do not merge while they are pending; this one is sent until it has been delivered a third time.
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            os.sched_yield()
        assert process.returncode == 128 + signal.SIGINT
