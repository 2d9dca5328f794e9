-- A page of the quarantined callbacks, newest first, without evidence.
-- Filters, NULL for none: reason text; since, until timestamptz: received_at from since on and before until; accepted boolean: whether a
-- person has accepted it. Page: before timestamptz and before_id uuid, the last row of the page before, NULL for the first page;
-- max_body integer: a longer body comes as NULL; limit bigint, rows at most. Returns one row per callback.
-- Not to be prepared: planned with the values at hand, the filters that are NULL fall away, and what remains is a walk, in order and
-- no further than the page, of quarantined_callbacks_newest_idx or quarantined_callbacks_reason_idx.
SELECT
    kept.quarantine_id,
    kept.reason,
    kept.received_at,
    kept.recorded_at,
    kept.key_id,
    octet_length(kept.body) AS body_bytes,
    CASE WHEN octet_length(kept.body) <= %(max_body)s::integer THEN kept.body END AS body,
    done.accepted_at,
    done.accepted_by,
    done.reason AS acceptance_reason,
    done.event_id
FROM quarantined_callbacks AS kept
LEFT JOIN quarantine_acceptances AS done ON kept.quarantine_id = done.quarantine_id
WHERE
    (%(reason)s::text IS NULL OR kept.reason = %(reason)s)
    AND (%(since)s::timestamptz IS NULL OR kept.received_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR kept.received_at < %(until)s)
    -- A look-up per row: as a join the server would sort all callbacks first.
    AND (
        %(accepted)s::boolean IS NULL
        OR %(accepted)s = coalesce(
            (SELECT TRUE FROM quarantine_acceptances WHERE quarantine_acceptances.quarantine_id = kept.quarantine_id), FALSE
        )
    )
    AND (
        %(before)s::timestamptz IS NULL
        OR (kept.received_at, kept.quarantine_id) < (%(before)s::timestamptz, %(before_id)s::uuid)
    )
ORDER BY kept.received_at DESC, kept.quarantine_id DESC
LIMIT %(limit)s
