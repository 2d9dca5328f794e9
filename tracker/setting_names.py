"""Names in the environment and in ``.env`` that look like settings and are none: misspelt, or unknown."""

from collections.abc import Iterable, Iterator
from typing import Final

MAX_DISTANCE: Final = 2
"""Edits (insert, delete, replace a character, swap two neighbours) that still make a name a misspelling of a setting."""

INTERNAL: Final = frozenset(
    {"TRACKER_PARENT_PIPE", "TRACKER_READY_PIPE", "TRACKER_SOCKET", "TRACKER_STATS", "TRACKER_WORKER_NUMBER"}
)
"""Names that ``tracker serve`` sets for its own children."""

ELSEWHERE: Final = frozenset(
    {
        "TRACKER_TEST_DATABASE_URL",  # tests/support/database.py
        # Grafana's provisioning, see docker-compose.yml.
        "TRACKER_PROMETHEUS_URL",
        "TRACKER_POSTGRES_ADDRESS",
        "TRACKER_POSTGRES_DATABASE",
        "TRACKER_POSTGRES_USER",
        "TRACKER_POSTGRES_SSLMODE",
    }
)
"""Names that other parts of this project read."""

TWILIO_TOOLS: Final = frozenset(
    {
        "TWILIO_API_KEY",
        "TWILIO_API_KEY_SECRET",
        "TWILIO_API_KEY_SID",
        "TWILIO_API_SECRET",
        "TWILIO_EDGE",
        "TWILIO_FROM_NUMBER",
        "TWILIO_LOG_LEVEL",
        "TWILIO_MESSAGING_SERVICE_SID",
        "TWILIO_NUMBER",
        "TWILIO_PHONE_NUMBER",
        "TWILIO_PROFILE",
        "TWILIO_REGION",
        "TWILIO_SERVICE_SID",
        "TWILIO_VERIFY_SERVICE_SID",
    }
)
"""Names that Twilio's CLI, libraries and examples use; no message is logged about them."""

_OWN_PREFIX: Final = "TRACKER_"
_PREFIXES: Final = (_OWN_PREFIX, "TWILIO_", "PUBLIC_", "DATABASE_")


def misspelt_names(names: Iterable[str], settings: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of a misspelt name and the nearest setting, in the order of the names.

    settings: every name that is a setting, in capitals. The comparison ignores case, as settings do.
    """
    known = sorted(settings)
    for name in _unknown(names, known):
        distance, nearest = min((edit_distance(name.upper(), setting), setting) for setting in known)
        if distance <= MAX_DISTANCE:
            yield name, nearest


def unknown_names(names: Iterable[str], settings: Iterable[str]) -> list[str]:
    """Names with this program's own prefix that nothing reads, sorted. Misspelt ones are among them."""
    return sorted(name for name in _unknown(names, settings) if name.upper().startswith(_OWN_PREFIX))


def edit_distance(one: str, other: str) -> int:
    """Number of insertions, deletions, replacements and swaps of neighbours that turn one text into the other."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, start=1):
        before, above, row = row, before, [i]
        for j, right in enumerate(other, start=1):
            distance = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (left != right))
            if i > 1 and j > 1 and left == other[j - 2] and one[i - 2] == right:
                distance = min(distance, above[j - 2] + 1)
            row.append(distance)
    return row[-1]


def _unknown(names: Iterable[str], settings: Iterable[str]) -> Iterator[str]:
    known = frozenset(settings) | INTERNAL | ELSEWHERE | TWILIO_TOOLS
    return (name for name in names if name.upper().startswith(_PREFIXES) and name.upper() not in known)
