-- Messages with an error in the time range, by country and code. Exact: counted from the log, late events included.
-- Returns country, code, messages, and their share of the country's undelivered and failed messages; the most frequent first.
WITH
counted AS (
    SELECT
        coalesce(nullif(country, ''), 'unknown') AS country,
        coalesce(nullif(error_code, ''), 'no code') AS error_code,
        sum(undelivered + failed) AS messages
    FROM delivery_stats
    WHERE minute >= $__timeFrom()::timestamptz AND minute < $__timeTo()::timestamptz
    GROUP BY 1, 2
)

SELECT
    country AS "Country",
    error_code AS "Code",
    messages::float8 AS "Messages",
    (messages / sum(messages) OVER (PARTITION BY country))::float8 AS "Share of the country's losses"
FROM counted
WHERE messages > 0
ORDER BY messages DESC, country ASC, error_code ASC
LIMIT 100
