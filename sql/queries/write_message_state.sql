-- Write the current state of some messages, over what was there.
-- Parameters: arrays of equal length, each message once: text, but finals bool, decided_bys, event_counts and last_positions bigint,
-- *_ats timestamptz. Returns nothing. Uses message_state_pkey.
INSERT INTO message_state (
    message_sid, account_sid, messaging_service_sid, channel, from_address, to_address, country, status, is_final, error_code,
    raw_dlr_done_date, decided_by, event_count, first_received_at, last_received_at, sent_at, delivered_at, last_position
)
-- In the list of what is selected, unnest() makes row by row; after FROM each of them would be kept in a table of its own first.
SELECT
    unnest(%(message_sids)b::text []), unnest(%(account_sids)b::text []), unnest(%(messaging_service_sids)b::text []),
    unnest(%(channels)b::text []), unnest(%(from_addresses)b::text []), unnest(%(to_addresses)b::text []),
    unnest(%(countries)b::text []), unnest(%(statuses)b::text []), unnest(%(finals)b::boolean []),
    unnest(%(error_codes)b::text []), unnest(%(raw_dlr_done_dates)b::text []), unnest(%(decided_bys)b::bigint []),
    unnest(%(event_counts)b::bigint []), unnest(%(first_received_ats)b::timestamptz []),
    unnest(%(last_received_ats)b::timestamptz []), unnest(%(sent_ats)b::timestamptz []),
    unnest(%(delivered_ats)b::timestamptz []), unnest(%(last_positions)b::bigint [])
ON CONFLICT (message_sid) DO UPDATE SET
    account_sid = excluded.account_sid,
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
    last_position = excluded.last_position
