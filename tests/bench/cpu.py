"""CPU time by process: what explains a rate."""

from collections.abc import Mapping

import psutil


def cpu_seconds(process: psutil.Process) -> float:
    """Of a process, its living descendants, and those that have ended already."""
    try:
        times = process.cpu_times()
        own = times.user + times.system + times.children_user + times.children_system
        return own + sum(cpu_seconds(child) for child in process.children())
    except psutil.NoSuchProcess:
        return 0.0


def machine_seconds() -> tuple[float, float]:
    """Of all processors since the machine started: busy with processes or taken away by the host, and in all."""
    times: dict[str, float] = psutil.cpu_times()._asdict()
    total = sum(times[name] for name in ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"))
    return total - times["idle"] - times["iowait"], total


class CpuMeter:
    """Measures what a few processes use from now on."""

    def __init__(self, processes: Mapping[str, psutil.Process]) -> None:
        """processes: by the name that the report gives them."""
        self._processes = dict(processes)
        self._before = self._read()
        self._machine_before = machine_seconds()

    def others_share(self, ours: float) -> float:
        """The share of the machine, 0 to 1, that went to anything but ``ours``, in seconds, since this was made."""
        busy, total = (now - before for now, before in zip(machine_seconds(), self._machine_before, strict=True))
        return max(0.0, busy - ours) / total if total else 0.0

    def used(self) -> dict[str, float]:
        """Seconds by name, since this meter was made."""
        return {name: seconds - self._before[name] for name, seconds in self._read().items()}

    def _read(self) -> dict[str, float]:
        return {name: cpu_seconds(process) for name, process in self._processes.items()}
