-- Messages by outcome, in steps of time up to now.
-- since timestamptz: the first step's beginning; step interval. Returns at, sent, delivered, undelivered, failed by step, oldest
-- first; steps without messages are left out. Uses delivery_stats_pkey.
SELECT
    date_bin(%(step)s::interval, minute, %(since)s::timestamptz) AS at,
    sum(sent)::bigint AS sent,
    sum(delivered)::bigint AS delivered,
    sum(undelivered)::bigint AS undelivered,
    sum(failed)::bigint AS failed
FROM delivery_stats
WHERE minute >= %(since)s::timestamptz
GROUP BY 1
ORDER BY 1
