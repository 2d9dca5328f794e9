-- One quarantined callback, evidence included.
-- quarantine_id uuid. Returns one row, none for an unknown identity. Uses quarantined_callbacks_pkey.
SELECT
    kept.quarantine_id,
    kept.reason,
    kept.received_at,
    kept.recorded_at,
    kept.key_id,
    octet_length(kept.body) AS body_bytes,
    kept.body,
    done.accepted_at,
    done.accepted_by,
    done.reason AS acceptance_reason,
    done.event_id,
    kept.url,
    kept.signature,
    kept.idempotency_token
FROM quarantined_callbacks AS kept
LEFT JOIN quarantine_acceptances AS done ON kept.quarantine_id = done.quarantine_id
WHERE kept.quarantine_id = %(quarantine_id)s::uuid
