"""Run a command for a bounded time, and end every process that it leaves behind.

Usage: python3 tests/support/bounded.py SECONDS COMMAND [ARGUMENT ...]

At the limit the command's process group gets SIGTERM, and everything that still runs GRACE seconds later gets SIGKILL. SIGTERM
and SIGINT to this process have the same effect. The exit code is the command's, or 124 at the limit.

A test worker that dies leaves its servers running. They hold the log's pipe open, and its reader waits for the end of the log.
This process adopts all orphans of the command, whatever session they are in, and kills them when the command has ended. It reaps
those that end before, as init does: a program that waits until an orphan is gone would wait for its zombie otherwise.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
GRACE = 30.0
"""Seconds between SIGTERM and SIGKILL."""

EXIT_AT_LIMIT = 124


def main(seconds: float, command: list[str]) -> int:
    """Exit code of the command, or EXIT_AT_LIMIT."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, interrupt)
    line = " ".join(command)
    process = subprocess.Popen(command, process_group=0)
    code = EXIT_AT_LIMIT
    try:
        code = reap_until_end(process, seconds)
    except TimeoutError:
        report(f"`{line}` did not end within {seconds:g} s and is stopped: SIGTERM now, SIGKILL in {GRACE:g} s")
    except InterruptedError as interruption:
        report(f"`{line}` is stopped after {interruption}: SIGTERM now, SIGKILL in {GRACE:g} s")
    if code == EXIT_AT_LIMIT:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError, InterruptedError, ChildProcessError):
            reap_until_end(process, GRACE)
    for name in end_descendants():
        report(f"Killed a process that `{line}` left running: {name}")
    return code if code >= 0 else 128 - code


def interrupt(number: int, _frame: object) -> None:
    """End the wait for the command."""
    raise TimeoutError if number == signal.SIGALRM else InterruptedError(signal.Signals(number).name)


def reap_until_end(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Reap all children that end, and return the exit code of the process when it is among them. TimeoutError after so many seconds."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == process.pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def end_descendants() -> list[str]:
    """Kill and reap all processes below this one. Returns their command lines."""
    names = dict[int, str]()
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if name:  # a process that has ended has none
                    names[pid] = name
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            break
        time.sleep(0.02)
    return sorted(names.values())


def descendants(root: int) -> list[int]:
    """Process ids of children, their children, and so on."""
    children = dict[int, list[int]]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended since
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = list[int]()
    level = [root]
    while level:
        level = [child for parent in level for child in children.get(parent, [])]
        found += level
    return found


def report(sentence: str) -> None:
    """Write a sentence to standard error."""
    print(f"bounded: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3 or not sys.argv[1].replace(".", "", 1).isdigit():
        sys.exit("usage: python3 tests/support/bounded.py SECONDS COMMAND [ARGUMENT ...]")
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
