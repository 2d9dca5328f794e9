"""What one web worker is given when it starts."""

from uuid import UUID

import msgspec

from tracker.settings import Settings


class Runtime(msgspec.Struct, frozen=True):
    """Made by the supervisor, the same for all workers of a server but for ``worker``."""

    settings: Settings
    database_url: str
    instance_id: UUID
    """Of the server: its runner's counters are shown by its own workers only."""
    worker: int
    """From 0."""
    stats: int
    """The descriptor of what the workers count together."""
