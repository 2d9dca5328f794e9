-- Messages by steps of time and groups.
-- from and until timestamptz, whole minutes: the range, until excluded. step interval, of which the first begins at from.
-- by_channel, by_country, by_messaging_service_sid, by_error_code boolean: whether to tell them apart. limit bigint: rows at most.
-- Returns at (a step's beginning; NULL: the whole range), the group (empty where it is not told apart, and for none), and the counts of
-- delivery_stats; by group, the whole range first. Uses delivery_stats_pkey.
WITH binned AS (
    SELECT
        date_bin(%(step)s::interval, minute, %(from)s::timestamptz) AS at,
        CASE WHEN %(by_channel)s::boolean THEN channel ELSE '' END AS channel,
        CASE WHEN %(by_country)s::boolean THEN country ELSE '' END AS country,
        CASE WHEN %(by_messaging_service_sid)s::boolean THEN messaging_service_sid ELSE '' END AS messaging_service_sid,
        CASE WHEN %(by_error_code)s::boolean THEN error_code ELSE '' END AS error_code,
        messages, sent, delivered, undelivered, failed, read, errors, corrected
    FROM delivery_stats
    WHERE minute >= %(from)s::timestamptz AND minute < %(until)s::timestamptz
)

SELECT
    at,
    channel,
    country,
    messaging_service_sid,
    error_code,
    sum(messages)::bigint AS messages,
    sum(sent)::bigint AS sent,
    sum(delivered)::bigint AS delivered,
    sum(undelivered)::bigint AS undelivered,
    sum(failed)::bigint AS failed,
    sum(read)::bigint AS read,
    sum(errors)::bigint AS errors,
    sum(corrected)::bigint AS corrected
FROM binned
GROUP BY GROUPING SETS (
    (at, channel, country, messaging_service_sid, error_code), (channel, country, messaging_service_sid, error_code)
)
ORDER BY channel ASC, country ASC, messaging_service_sid ASC, error_code ASC, at ASC NULLS FIRST
LIMIT %(limit)s::bigint
