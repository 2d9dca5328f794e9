-- The marks of the time range: what people noted with `tracker annotate` or the API, such as a deploy of the application that sends.
-- Returns the time and the text; the newest 200.
SELECT
    happened_at AS "time",
    text
FROM annotations
WHERE happened_at >= $__timeFrom()::timestamptz AND happened_at < $__timeTo()::timestamptz
ORDER BY happened_at DESC
LIMIT 200
