"""What the supervisor and its children agree on."""

import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from tracker.settings import SECRETS, Settings

PARENT_PIPE: Final = "TRACKER_PARENT_PIPE"
"""Environment variable: the descriptor of a pipe whose other end only the supervisor holds."""

NICENESS: Final = 10
"""Of a process that gives way: a tenth of a core is left to it where others want all of it."""

INSTANCE_ID: Final = "TRACKER_INSTANCE_ID"
"""Environment variable: the server that a process belongs to, a UUID. ``tracker serve`` makes one for itself and its children. Where the
projector is a service of its own, both are given the same: the derived counters are shown by the server whose projector is active."""


def instance_id(settings: Settings) -> UUID:
    """The server that this process belongs to: ``TRACKER_INSTANCE_ID``, else a new one."""
    return settings.instance_id or uuid4()


def environment_without_secrets() -> dict[str, str]:
    """The environment of this process without secrets and without the names of files that hold them, for a process that needs none.
    Settings are found whatever the case of their names, and so are these."""
    secret = {name + suffix for name in SECRETS for suffix in ("", "_FILE")}
    return {name: value for name, value in os.environ.items() if name.upper() not in secret}


def give_way() -> None:
    """Let the other processes of this machine go first when they want its cores, as far as the system lets us say so.

    Linux weighs sessions against each other before it looks at their processes (sched(7), "The autogroup feature"), so both are said.
    """
    os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICENESS), encoding="ascii")


def end_with_parent() -> None:
    """End this process, as SIGTERM would, when the supervisor is gone, however it went: the kernel closes its pipe."""
    descriptor = os.environ.get(PARENT_PIPE)
    if descriptor is None:
        return

    def watch() -> None:
        os.read(int(descriptor), 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
