-- Delivery by messaging service in the time range. Exact: counted from the log, late events included. Variable: channel, one or several.
-- Returns service ('none' for messages without one), messages finished, share delivered, messages undelivered and failed, messages sent;
-- the most finished first, 50 at most. A share is NULL where nothing finished.
WITH
counted AS (
    SELECT
        coalesce(nullif(messaging_service_sid, ''), 'none') AS service,
        sum(sent) AS sent,
        sum(delivered) AS delivered,
        sum(undelivered) AS undelivered,
        sum(failed) AS failed,
        sum(delivered + undelivered + failed) AS finished
    FROM delivery_stats
    WHERE
        minute >= $__timeFrom()::timestamptz AND minute < $__timeTo()::timestamptz
        AND channel = ANY(ARRAY[${channel:sqlstring}]::text [])
    GROUP BY 1
)

SELECT
    service AS "Messaging service",
    finished::float8 AS "Finished",
    (delivered / nullif(finished, 0))::float8 AS "Delivered",
    undelivered::float8 AS "Undelivered",
    failed::float8 AS "Failed",
    sent::float8 AS "Sent"
FROM counted
WHERE finished > 0 OR sent > 0
ORDER BY finished DESC, service ASC
LIMIT 50
