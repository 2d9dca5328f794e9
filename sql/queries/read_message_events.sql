-- The whole history of one message, evidence included, in log order.
-- message_sid text. Returns one row an event. Uses events_message_sid_position_idx.
SELECT
    position, event_id, source, account_sid, message_sid, status, error_code, raw_dlr_done_date, channel, from_address, to_address,
    messaging_service_sid, received_at, recorded_at, url, body, signature, idempotency_token, key_id,
    error_message
FROM events
WHERE message_sid = %(message_sid)s
ORDER BY position
