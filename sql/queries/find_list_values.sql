-- Which of some values any message has, so that a list looks for no others.
-- to_addresses, from_addresses, statuses, channels text[] (of channels not sms, which most messages have). Returns one row per value that
-- is there: kind (to, from, status, channel) and value. Each value is the first entry of an index at or behind it, or is not there: asked
-- for equality, the server would scan the table for a value that it takes to be common. Uses message_state_to_address_idx,
-- message_state_from_address_idx, message_state_status_idx, message_state_channel_idx.
SELECT 'to' AS kind, wanted.value
FROM unnest(%(to_addresses)s::text []) AS wanted (value)
CROSS JOIN LATERAL (
    SELECT to_address AS value
    FROM message_state
    WHERE to_address >= wanted.value
    ORDER BY to_address, first_received_at, message_sid
    LIMIT 1
) AS first
WHERE first.value = wanted.value
UNION ALL
SELECT 'from' AS kind, wanted.value
FROM unnest(%(from_addresses)s::text []) AS wanted (value)
CROSS JOIN LATERAL (
    SELECT from_address AS value
    FROM message_state
    WHERE from_address >= wanted.value
    ORDER BY from_address, first_received_at, message_sid
    LIMIT 1
) AS first
WHERE first.value = wanted.value
UNION ALL
SELECT 'status' AS kind, wanted.value
FROM unnest(%(statuses)s::text []) AS wanted (value)
CROSS JOIN LATERAL (
    SELECT status AS value
    FROM message_state
    WHERE status >= wanted.value
    ORDER BY status, first_received_at, message_sid
    LIMIT 1
) AS first
WHERE first.value = wanted.value
UNION ALL
SELECT 'channel' AS kind, wanted.value
FROM unnest(%(channels)s::text []) AS wanted (value)
CROSS JOIN LATERAL (
    SELECT channel AS value
    FROM message_state
    WHERE channel >= wanted.value AND channel <> 'sms'
    ORDER BY channel, first_received_at
    LIMIT 1
) AS first
WHERE first.value = wanted.value
