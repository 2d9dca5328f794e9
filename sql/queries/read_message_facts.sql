-- A part of one message's history: what the fold reads of each event, in log order.
-- message_sid text; after bigint: position of the last event of the part before, 0 for the first part; limit bigint: events at most.
-- Returns one row per event. Uses events_message_sid_position_idx.
SELECT
    position, message_sid, account_sid, status, error_code, raw_dlr_done_date, channel, from_address, to_address,
    messaging_service_sid, received_at, error_message
FROM events
WHERE message_sid = %(message_sid)s AND position > %(after)s
ORDER BY position
LIMIT %(limit)s
