"""Every projection there is. A new one is a module, its SQL files, and a line here."""

from typing import Any

from projections.delivery_stats import DELIVERY_STATS
from projections.message_state import MESSAGE_STATE
from projections.metric_counters import METRIC_COUNTERS
from projections.projection import Projection

PROJECTIONS: tuple[Projection[Any], ...] = (
    MESSAGE_STATE,
    METRIC_COUNTERS,
    DELIVERY_STATS,
)
