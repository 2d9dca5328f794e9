-- Add to the latency digests of minutes.
-- Parameters: arrays of equal length, each row once: minutes timestamptz; channels, countries, messaging_service_sids text; buckets and
-- messages bigint. Returns nothing. Uses delivery_latency_pkey.
INSERT INTO delivery_latency (minute, channel, country, messaging_service_sid, bucket, messages)
SELECT
    incoming.minute, incoming.channel, incoming.country, incoming.messaging_service_sid, incoming.bucket, incoming.messages
FROM unnest(
    %(minutes)b::timestamptz [], %(channels)b::text [], %(countries)b::text [], %(messaging_service_sids)b::text [],
    %(buckets)b::bigint [], %(messages)b::bigint []
) AS incoming (minute, channel, country, messaging_service_sid, bucket, messages)
ON CONFLICT (minute, channel, country, messaging_service_sid, bucket) DO UPDATE SET
    messages = delivery_latency.messages + excluded.messages
