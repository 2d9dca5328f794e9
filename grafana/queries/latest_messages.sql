-- The latest messages of the time range, to pick one from, newest first. Of addresses only the last four characters.
-- Reads message_state_newest_idx backwards.
SELECT
    first_received_at AS "First callback",
    message_sid AS "Message",
    status AS "Status",
    error_code AS "Code",
    event_count AS "Events",
    channel AS "Channel",
    country AS "Country",
    '…' || right(to_address, 4) AS "To"
FROM message_state
WHERE first_received_at >= $__timeFrom()::timestamptz AND first_received_at < $__timeTo()::timestamptz
ORDER BY first_received_at DESC, message_sid DESC
LIMIT 50
