"""Every projection there is. A new one is a module, its SQL files, and a line here."""

from typing import Any

from projections.message_state import MESSAGE_STATE
from projections.projection import Projection

PROJECTIONS: tuple[Projection[Any], ...] = (MESSAGE_STATE,)
