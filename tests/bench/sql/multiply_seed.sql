-- Events for a range of positions: the seed over and over, each time about other messages, one seed's span of time later, at positions
-- in the order of the seed. Parameters: first, last, size (events of the seed), all bigint. Returns nothing. All triggers and
-- constraints of `events` are on. The log's head must be moved to `last` in the same transaction.
INSERT INTO events (
    position, event_id, source, account_sid, message_sid, status, error_code, raw_dlr_done_date, channel, from_address, to_address,
    messaging_service_sid, received_at, url, body, signature, idempotency_token, key_id
)
SELECT
    places.position, ('00000000-0000-7000-8000-' || lpad(to_hex(places.position), 12, '0'))::uuid, 'callback', seed.account_sid, message.sid, seed.status, seed.error_code, seed.raw_dlr_done_date,
    seed.channel, seed.from_address, seed.to_address, seed.messaging_service_sid,
    seed.received_at + ((places.position - 1) / %(size)s) * interval '1 minute', seed.url,
    convert_to(replace(seed.body, seed.message_sid, message.sid), 'UTF8'), seed.signature, seed.idempotency_token, seed.key_id
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS places (position)
INNER JOIN seed ON seed.number = (places.position - 1) %% %(size)s
CROSS JOIN LATERAL (
    SELECT left(seed.message_sid, 2) || md5(seed.message_sid || ((places.position - 1) / %(size)s)::text) AS sid
) AS message
ORDER BY places.position
