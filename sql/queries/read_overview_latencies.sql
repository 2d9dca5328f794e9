-- How long deliveries took.
-- since timestamptz: from when on. Returns bucket (of the latency digest) and messages, by bucket. Uses delivery_latency_pkey.
SELECT bucket, sum(messages)::bigint AS messages
FROM delivery_latency
WHERE minute >= %(since)s::timestamptz
GROUP BY bucket
ORDER BY bucket
