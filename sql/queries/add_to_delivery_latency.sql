-- Add to the latency digests of minutes.
-- Parameters: arrays of equal length, each row once: minutes timestamptz; channels, countries, messaging_service_sids text; buckets and
-- messages bigint. Returns nothing. Uses delivery_latency_pkey.
INSERT INTO delivery_latency (minute, channel, country, messaging_service_sid, bucket, messages)
-- In the list of what is selected, unnest() makes row by row; after FROM each of them would be kept in a table of its own first.
SELECT
    unnest(%(minutes)b::timestamptz []), unnest(%(channels)b::text []), unnest(%(countries)b::text []),
    unnest(%(messaging_service_sids)b::text []), unnest(%(buckets)b::bigint []), unnest(%(messages)b::bigint [])
ON CONFLICT (minute, channel, country, messaging_service_sid, bucket) DO UPDATE SET
    messages = delivery_latency.messages + excluded.messages
