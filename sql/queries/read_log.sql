-- What projections read of the log: the events after a position. Returns one row an event, in log order.
-- after bigint: the last position already taken in. limit bigint: events at most. Uses events_pkey.
SELECT
    position, message_sid, account_sid, status, error_code, raw_dlr_done_date, channel, from_address, to_address,
    messaging_service_sid, received_at, error_message
FROM events
WHERE position > %(after)s
ORDER BY position
LIMIT %(limit)s
