"""Roles and principals: on whose behalf a request is answered.

A route names the roles of which one is enough by ``opt=allow(...)``. ``docs/access.md`` has the table of roles.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Role(StrEnum):
    """What a principal may see and do. A principal has a set of roles."""

    VIEWER = "viewer"
    """Sees messages, timelines and statistics with the other party's number masked; no bodies."""
    AUDITOR = "auditor"
    """Sees what a viewer sees; reveals one message at a time, with a reason; reads the access log."""
    INVESTIGATOR = "investigator"
    """Sees everything, unmasked."""
    SENDER = "sender"
    """Sends messages and sees the answers to its own sends."""
    ADMIN = "admin"
    """Manages tokens and roles; sees no content by that alone."""


ALL_ROLES: Final = frozenset(Role)
READERS: Final = frozenset({Role.VIEWER, Role.AUDITOR, Role.INVESTIGATOR})
"""Roles that read messages; all but the investigator see masked numbers."""

ROLES_OPTION: Final = "roles"
"""Key of a route's ``opt`` that holds its roles."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a named token, the settings' token, or a request from this machine."""

    name: str
    """Name of the token; ``api-token`` for TRACKER_API_TOKEN, ``loopback`` for a request from this machine without a token."""
    roles: frozenset[Role]

    @property
    def sees_unmasked(self) -> bool:
        """Whether answers show the other party's number and bodies."""
        return Role.INVESTIGATOR in self.roles

    def has_any(self, roles: Iterable[Role]) -> bool:
        """Whether the principal has at least one of these roles."""
        return not self.roles.isdisjoint(roles)


def allow(*roles: Role) -> dict[str, Any]:
    """The ``opt`` of a route that needs one of these roles."""
    return {ROLES_OPTION: frozenset(roles)}
