-- Add to the counts of minutes.
-- Parameters: arrays of equal length, each row once: minutes timestamptz; channels, countries, messaging_service_sids, error_codes text;
-- messages, sent, delivered, undelivered, failed, read, errors, corrected bigint. Returns nothing. Uses delivery_stats_pkey.
INSERT INTO delivery_stats (
    minute, channel, country, messaging_service_sid, error_code,
    messages, sent, delivered, undelivered, failed, read, errors, corrected
)
SELECT
    incoming.minute, incoming.channel, incoming.country, incoming.messaging_service_sid, incoming.error_code,
    incoming.messages, incoming.sent, incoming.delivered, incoming.undelivered, incoming.failed, incoming.read, incoming.errors,
    incoming.corrected
FROM unnest(
    %(minutes)b::timestamptz [], %(channels)b::text [], %(countries)b::text [], %(messaging_service_sids)b::text [],
    %(error_codes)b::text [], %(messages)b::bigint [], %(sent)b::bigint [], %(delivered)b::bigint [], %(undelivered)b::bigint [],
    %(failed)b::bigint [], %(read)b::bigint [], %(errors)b::bigint [], %(corrected)b::bigint []
) AS incoming (
    minute, channel, country, messaging_service_sid, error_code,
    messages, sent, delivered, undelivered, failed, read, errors, corrected
)
ON CONFLICT (minute, channel, country, messaging_service_sid, error_code) DO UPDATE SET
    messages = delivery_stats.messages + excluded.messages,
    sent = delivery_stats.sent + excluded.sent,
    delivered = delivery_stats.delivered + excluded.delivered,
    undelivered = delivery_stats.undelivered + excluded.undelivered,
    failed = delivery_stats.failed + excluded.failed,
    read = delivery_stats.read + excluded.read,
    errors = delivery_stats.errors + excluded.errors,
    corrected = delivery_stats.corrected + excluded.corrected
