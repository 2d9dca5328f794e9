-- The latest messages of the time range that have an error code, newest first. Of addresses only the last four characters.
-- Reads message_state_newest_idx backwards until 100 are found.
SELECT
    first_received_at AS "First callback",
    message_sid AS "Message",
    status AS "Status",
    error_code AS "Code",
    channel AS "Channel",
    country AS "Country",
    '…' || right(to_address, 4) AS "To",
    messaging_service_sid AS "Messaging service"
FROM message_state
WHERE
    error_code IS NOT NULL
    AND first_received_at >= $__timeFrom()::timestamptz
    AND first_received_at < $__timeTo()::timestamptz
ORDER BY first_received_at DESC, message_sid DESC
LIMIT 100
