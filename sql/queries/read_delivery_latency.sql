-- How long deliveries took, by steps of time and groups.
-- from, until, step, by_channel, by_country, by_messaging_service_sid: as for read_delivery_stats.
-- Returns at (NULL: the whole range), channel, country, messaging_service_sid (empty where it is not told apart, and for none), and
-- p50, p95, p99: the buckets of the latency digest that hold these percentiles, by nearest rank. Uses delivery_latency_pkey.
WITH binned AS (
    SELECT
        date_bin(%(step)s::interval, minute, %(from)s::timestamptz) AS at,
        CASE WHEN %(by_channel)s::boolean THEN channel ELSE '' END AS channel,
        CASE WHEN %(by_country)s::boolean THEN country ELSE '' END AS country,
        CASE WHEN %(by_messaging_service_sid)s::boolean THEN messaging_service_sid ELSE '' END AS messaging_service_sid,
        bucket,
        messages
    FROM delivery_latency
    WHERE minute >= %(from)s::timestamptz AND minute < %(until)s::timestamptz
),

summed AS (
    SELECT at, channel, country, messaging_service_sid, bucket, sum(messages) AS messages
    FROM binned
    GROUP BY GROUPING SETS (
        (at, channel, country, messaging_service_sid, bucket), (channel, country, messaging_service_sid, bucket)
    )
),

ranked AS (
    SELECT
        at, channel, country, messaging_service_sid, bucket,
        sum(messages) OVER (PARTITION BY at, channel, country, messaging_service_sid ORDER BY bucket) AS up_to,
        sum(messages) OVER (PARTITION BY at, channel, country, messaging_service_sid) AS total
    FROM summed
)

SELECT
    at,
    channel,
    country,
    messaging_service_sid,
    min(bucket) FILTER (WHERE up_to >= 0.50 * total) AS p50,
    min(bucket) FILTER (WHERE up_to >= 0.95 * total) AS p95,
    min(bucket) FILTER (WHERE up_to >= 0.99 * total) AS p99
FROM ranked
GROUP BY at, channel, country, messaging_service_sid
