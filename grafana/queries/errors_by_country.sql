-- Messages with an error in the time range, by country and code, each once a code. Exact: counted from the log, late events included.
-- Returns country, code, messages, and their share of all errors of the country; the most frequent first.
WITH
counted AS (
    SELECT
        country,
        error_code,
        sum(errors) AS messages
    FROM delivery_stats
    WHERE minute >= $__timeFrom()::timestamptz AND minute < $__timeTo()::timestamptz AND error_code <> ''
    GROUP BY country, error_code
)

SELECT
    coalesce(nullif(country, ''), 'unknown') AS "Country",
    error_code AS "Code",
    messages::float8 AS "Messages",
    (messages / sum(messages) OVER (PARTITION BY country))::float8 AS "Share of the country's errors"
FROM counted
WHERE messages > 0
ORDER BY messages DESC, country ASC, error_code ASC
LIMIT 100
