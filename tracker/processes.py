"""What the supervisor and its children agree on."""

import os
import signal
import threading
from typing import Final

PARENT_PIPE: Final = "TRACKER_PARENT_PIPE"
"""Environment variable: the descriptor of a pipe whose other end only the supervisor holds."""

INSTANCE_ID: Final = "TRACKER_INSTANCE_ID"
"""Environment variable: the server that a process belongs to, a UUID."""


def end_with_parent() -> None:
    """End this process, as SIGTERM would, when the supervisor is gone, however it went: the kernel closes its pipe."""
    descriptor = os.environ.get(PARENT_PIPE)
    if descriptor is None:
        return

    def watch() -> None:
        os.read(int(descriptor), 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
