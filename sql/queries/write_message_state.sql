-- Write the current state of some messages, over what was there.
-- Parameters: arrays of equal length, each message once: text, but finals bool, decided_bys, event_counts and last_positions bigint,
-- *_ats timestamptz. Returns nothing. Uses message_state_pkey.
INSERT INTO message_state (
    message_sid, account_sid, messaging_service_sid, channel, from_address, to_address, country, status, is_final, error_code,
    raw_dlr_done_date, decided_by, event_count, first_received_at, last_received_at, sent_at, delivered_at, last_position
)
SELECT
    incoming.message_sid, incoming.account_sid, incoming.messaging_service_sid, incoming.channel, incoming.from_address,
    incoming.to_address, incoming.country, incoming.status, incoming.is_final, incoming.error_code, incoming.raw_dlr_done_date,
    incoming.decided_by, incoming.event_count, incoming.first_received_at, incoming.last_received_at, incoming.sent_at,
    incoming.delivered_at, incoming.last_position
FROM unnest(
    %(message_sids)b::text [], %(account_sids)b::text [], %(messaging_service_sids)b::text [], %(channels)b::text [],
    %(from_addresses)b::text [], %(to_addresses)b::text [], %(countries)b::text [], %(statuses)b::text [], %(finals)b::boolean [],
    %(error_codes)b::text [], %(raw_dlr_done_dates)b::text [], %(decided_bys)b::bigint [], %(event_counts)b::bigint [],
    %(first_received_ats)b::timestamptz [], %(last_received_ats)b::timestamptz [], %(sent_ats)b::timestamptz [],
    %(delivered_ats)b::timestamptz [], %(last_positions)b::bigint []
) AS incoming (
    message_sid, account_sid, messaging_service_sid, channel, from_address, to_address, country, status, is_final, error_code,
    raw_dlr_done_date, decided_by, event_count, first_received_at, last_received_at, sent_at, delivered_at, last_position
)
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
