"""The projection ``message_state``: one row a message, its current state."""

from collections.abc import Sequence
from functools import lru_cache

from projections.fold.message import Message
from projections.fold.transitions import Batch
from projections.projection import Connection
from tracker.postgres.binary_arrays import PackedArray, join, pack_bool, pack_datetimes, pack_few, pack_int8, pack_text
from tracker.postgres.sql_files import query
from tracker.twilio.statuses import FINAL


class MessageState:
    """Rewrites the row of each message that a batch concerns."""

    name = "message_state"
    version = 2
    tables = ("message_state",)

    def fold(self, batch: Batch) -> dict[str, PackedArray]:
        """The rows as columns, because that is how they travel."""
        return _columns(batch.messages)

    def merge(self, changes: Sequence[dict[str, PackedArray]]) -> dict[str, PackedArray]:
        """All rows: none of them is of the same message."""
        return {name: join([columns[name] for columns in changes]) for name in changes[0]}

    def write(self, connection: Connection, changes: dict[str, PackedArray]) -> None:
        """Insert or overwrite the rows."""
        connection.execute(query("write_message_state"), changes, prepare=True)


def _columns(messages: Sequence[Message]) -> dict[str, PackedArray]:
    decisions = [message.decision for message in messages]
    statuses = [decision.status for decision in decisions]
    summaries = [message.standing.summary for message in messages]
    return {
        "message_sids": pack_text([message.message_sid for message in messages]),
        "account_sids": pack_few([message.account_sid for message in messages]),
        "messaging_service_sids": pack_few([message.messaging_service_sid for message in messages]),
        "channels": pack_few([message.channel for message in messages]),
        "from_addresses": pack_few([message.from_address for message in messages]),
        "to_addresses": pack_text([message.to_address for message in messages]),
        "countries": pack_few([message.country for message in messages]),
        "statuses": pack_few(statuses),
        "finals": pack_bool([status in FINAL for status in statuses]),
        "error_codes": pack_few([decision.error_code for decision in decisions]),
        "raw_dlr_done_dates": pack_few([message.raw_dlr_done_date for message in messages]),
        "decided_bys": pack_int8([message.decided_by for message in messages]),
        "event_counts": pack_int8([message.event_count for message in messages]),
        "first_received_ats": pack_datetimes([message.first_received_at for message in messages]),
        "last_received_ats": pack_datetimes([message.last_received_at for message in messages]),
        "sent_ats": pack_datetimes([message.sent_at for message in messages]),
        "delivered_ats": pack_datetimes([message.delivered_at for message in messages]),
        "last_positions": pack_int8([message.last_position for message in messages]),
        "conflicts": pack_bool([message.standing.has_conflict for message in messages]),
        "error_codes_seen": pack_few([_array(summary.codes) if summary.codes else "{}" for summary in summaries]),
        "error_codes_truncated": pack_bool([summary.has_more_codes for summary in summaries]),
        "error_messages": pack_few([decision.error_message for decision in decisions]),
        "effects_seen": pack_int8([message.effects_seen for message in messages]),
    }


@lru_cache(maxsize=4096)
def _array(texts: tuple[str, ...]) -> str:
    """Renders texts as PostgreSQL writes an array of them."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


MESSAGE_STATE = MessageState()
