-- What was said about one message, by the time it reached us. Variable: message_sid.
-- Returns the time, the status and the error code that were said then.
SELECT
    received_at AS "time",
    status AS "Status",
    error_code AS "Error code"
FROM events
WHERE message_sid = ${message_sid:sqlstring}
ORDER BY received_at ASC, position ASC
LIMIT 1000
