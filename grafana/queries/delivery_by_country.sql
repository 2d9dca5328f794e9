-- Delivery by country in the time range, beside the same range a week earlier. Exact: counted from the log, late events included.
-- Variable: channel, one or several.
-- Returns country, messages finished, share delivered, the same share a week earlier, the difference in percentage points,
-- messages undelivered and failed; the most finished first. A share is NULL where nothing finished.
WITH
period (week, start, stop) AS (
    VALUES
    ('this', $__timeFrom()::timestamptz, $__timeTo()::timestamptz),
    ('last', $__timeFrom()::timestamptz - INTERVAL '7 days', $__timeTo()::timestamptz - INTERVAL '7 days')
),

counted AS (
    SELECT
        coalesce(nullif(stats.country, ''), 'unknown') AS country,
        sum(stats.delivered) FILTER (WHERE period.week = 'this') AS delivered,
        sum(stats.undelivered) FILTER (WHERE period.week = 'this') AS undelivered,
        sum(stats.failed) FILTER (WHERE period.week = 'this') AS failed,
        sum(stats.delivered + stats.undelivered + stats.failed) FILTER (WHERE period.week = 'this') AS finished,
        sum(stats.delivered) FILTER (WHERE period.week = 'last') AS delivered_last_week,
        sum(stats.delivered + stats.undelivered + stats.failed) FILTER (WHERE period.week = 'last') AS finished_last_week
    FROM period
    INNER JOIN delivery_stats AS stats ON stats.minute >= period.start AND stats.minute < period.stop
    WHERE stats.channel = ANY(ARRAY[${channel:sqlstring}]::text [])
    GROUP BY 1
),

shares AS (
    SELECT
        counted.*,
        counted.delivered / nullif(counted.finished, 0) AS share,
        counted.delivered_last_week / nullif(counted.finished_last_week, 0) AS share_last_week
    FROM counted
)

SELECT
    country AS "Country",
    finished::float8 AS "Finished",
    share::float8 AS "Delivered",
    share_last_week::float8 AS "Week before",
    (100 * (share - share_last_week))::float8 AS "Change",
    undelivered::float8 AS "Undelivered",
    failed::float8 AS "Failed"
FROM shares
WHERE finished > 0
ORDER BY finished DESC, country ASC
LIMIT 250
