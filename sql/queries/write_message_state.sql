-- Write the current state of some messages, over what was there.
-- Parameters: arrays of equal length, each message once: text, but finals, conflicts and error_codes_truncated boolean, decided_bys,
-- event_counts, last_positions and effects_seen bigint, *_ats timestamptz; error_codes_seen: text[] as text. Returns nothing. Uses
-- message_state_pkey.
INSERT INTO message_state (
    message_sid, account_sid, messaging_service_sid, channel, from_address, to_address, country, status, is_final, error_code,
    raw_dlr_done_date, decided_by, event_count, first_received_at, last_received_at, sent_at, delivered_at, last_position,
    has_conflict, error_codes_seen, error_codes_truncated, error_message, effects_seen
)
-- In the list of what is selected, unnest() makes row by row; after FROM each of them would be kept in a table of its own first.
SELECT
    unnest(%(message_sids)b::text []), unnest(%(account_sids)b::text []), unnest(%(messaging_service_sids)b::text []),
    unnest(%(channels)b::text []), unnest(%(from_addresses)b::text []), unnest(%(to_addresses)b::text []),
    unnest(%(countries)b::text []), unnest(%(statuses)b::text []), unnest(%(finals)b::boolean []),
    unnest(%(error_codes)b::text []), unnest(%(raw_dlr_done_dates)b::text []), unnest(%(decided_bys)b::bigint []),
    unnest(%(event_counts)b::bigint []), unnest(%(first_received_ats)b::timestamptz []),
    unnest(%(last_received_ats)b::timestamptz []), unnest(%(sent_ats)b::timestamptz []),
    unnest(%(delivered_ats)b::timestamptz []), unnest(%(last_positions)b::bigint []),
    unnest(%(conflicts)b::boolean []), unnest(%(error_codes_seen)b::text [])::text [],
    unnest(%(error_codes_truncated)b::boolean []), unnest(%(error_messages)b::text []), unnest(%(effects_seen)b::bigint [])
ON CONFLICT (account_sid, message_sid) DO UPDATE SET
    messaging_service_sid = excluded.messaging_service_sid,
    channel = excluded.channel,
    from_address = excluded.from_address,
    to_address = excluded.to_address,
    country = excluded.country,
    status = excluded.status,
    is_final = excluded.is_final,
    error_code = excluded.error_code,
    raw_dlr_done_date = excluded.raw_dlr_done_date,
    decided_by = excluded.decided_by,
    event_count = excluded.event_count,
    first_received_at = excluded.first_received_at,
    last_received_at = excluded.last_received_at,
    sent_at = excluded.sent_at,
    delivered_at = excluded.delivered_at,
    last_position = excluded.last_position,
    has_conflict = excluded.has_conflict,
    error_codes_seen = excluded.error_codes_seen,
    error_codes_truncated = excluded.error_codes_truncated,
    error_message = excluded.error_message,
    effects_seen = excluded.effects_seen
