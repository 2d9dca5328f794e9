-- Add to the counts of minutes.
-- Parameters: arrays of equal length, each row once: minutes timestamptz; channels, countries, messaging_service_sids, error_codes text;
-- messages, sent, delivered, undelivered, failed, read, errors, corrected bigint. Returns nothing. Uses delivery_stats_pkey.
INSERT INTO delivery_stats (
    minute, channel, country, messaging_service_sid, error_code,
    messages, sent, delivered, undelivered, failed, read, errors, corrected
)
-- In the list of what is selected, unnest() makes row by row; after FROM each of them would be kept in a table of its own first.
SELECT
    unnest(%(minutes)b::timestamptz []), unnest(%(channels)b::text []), unnest(%(countries)b::text []),
    unnest(%(messaging_service_sids)b::text []), unnest(%(error_codes)b::text []), unnest(%(messages)b::bigint []),
    unnest(%(sent)b::bigint []), unnest(%(delivered)b::bigint []), unnest(%(undelivered)b::bigint []),
    unnest(%(failed)b::bigint []), unnest(%(read)b::bigint []), unnest(%(errors)b::bigint []), unnest(%(corrected)b::bigint [])
ON CONFLICT (minute, channel, country, messaging_service_sid, error_code) DO UPDATE SET
    messages = delivery_stats.messages + excluded.messages,
    sent = delivery_stats.sent + excluded.sent,
    delivered = delivery_stats.delivered + excluded.delivered,
    undelivered = delivery_stats.undelivered + excluded.undelivered,
    failed = delivery_stats.failed + excluded.failed,
    read = delivery_stats.read + excluded.read,
    errors = delivery_stats.errors + excluded.errors,
    corrected = delivery_stats.corrected + excluded.corrected
