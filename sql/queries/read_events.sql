-- Some events of the log, evidence included, in log order, as far as their evidence fits; at least the first.
-- positions bigint[]; max_bytes bigint: of bodies and URLs together. Returns one row per event. Uses events_pkey.
SELECT
    position, event_id, source, account_sid, message_sid, status, error_code, raw_dlr_done_date, channel, from_address, to_address,
    messaging_service_sid, received_at, recorded_at, url, body, signature, idempotency_token, key_id,
    error_message
FROM (
    SELECT
        *,
        sum(octet_length(body) + coalesce(octet_length(url), 0)) OVER (
            ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS total_bytes,
        row_number() OVER (ORDER BY position) AS place
    FROM events
    WHERE position = ANY(%(positions)s::bigint [])
) AS numbered
WHERE total_bytes <= %(max_bytes)s::bigint OR place = 1
ORDER BY position
