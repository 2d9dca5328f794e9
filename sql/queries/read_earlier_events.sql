-- What projections read of the earlier history of some messages. Returns one row an event, in log order.
-- message_sids text[], of whatever account; until bigint: the last position that counts. Uses events_message_sid_position_idx.
SELECT
    position, message_sid, account_sid, status, error_code, raw_dlr_done_date, channel, from_address, to_address,
    messaging_service_sid, received_at, error_message
FROM events
WHERE message_sid = ANY(%(message_sids)b::text []) AND position <= %(until)s
ORDER BY position
