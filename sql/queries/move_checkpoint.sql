-- Move a projection's checkpoint on, in the transaction that writes its rows.
-- name text; version integer: of the program, which must be that of the rows; from bigint: where it must stand now; to bigint.
-- Returns one row, or none when another runner has moved it, a rebuild has brought rows of another version, or the log has another event
-- at from than the one that was taken in. Uses events_pkey.
UPDATE projections SET
    position = %(to)s,
    event_id = (SELECT events.event_id FROM events WHERE events.position = %(to)s),
    updated_at = clock_timestamp()
WHERE name = %(name)s AND version = %(version)s AND position = %(from)s AND is_in_log(position, event_id)
RETURNING position
