-- What projections read of one share of the messages: its events in a range of positions, in log order. The columns of read_log.
-- after bigint: the last position before the range. until bigint: its last. share, shares integer: which share of how many, from 0.
-- Returns one row an event. Uses events_pkey. hashtext() need not be the same from one server to another, only among the readers of
-- one range.
SELECT
    position, message_sid, account_sid, status, error_code, raw_dlr_done_date, channel, from_address, to_address,
    messaging_service_sid, received_at, error_message
FROM events
WHERE position > %(after)s AND position <= %(until)s AND mod(hashtext(message_sid)::bigint + 2147483648, %(shares)s) = %(share)s
ORDER BY position
