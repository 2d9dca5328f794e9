-- Set signed requests aside that are no message status, each once.
-- Parameters: arrays of equal length: uuid, text, timestamptz, text, bytea, text, text, text. Returns nothing.
INSERT INTO quarantined_callbacks (
    quarantine_id, reason, received_at, url, body, signature, idempotency_token, key_id
)
SELECT
    incoming.quarantine_id, incoming.reason, incoming.received_at, incoming.url, incoming.body, incoming.signature,
    incoming.idempotency_token, incoming.key_id
FROM unnest(
    %(quarantine_ids)b::uuid [], %(reasons)b::text [], %(received_ats)b::timestamptz [], %(urls)b::text [], %(bodies)b::bytea [],
    %(signatures)b::text [], %(idempotency_tokens)b::text [], %(key_ids)b::text []
) AS incoming (quarantine_id, reason, received_at, url, body, signature, idempotency_token, key_id)
ON CONFLICT (quarantine_id) DO NOTHING
