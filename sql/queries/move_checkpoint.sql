-- Move a projection's checkpoint on, in the transaction that writes its rows.
-- name text; from bigint: where it must stand now; to bigint. Returns one row, or none when another runner has moved it.
UPDATE projections SET position = %(to)s, updated_at = clock_timestamp()
WHERE name = %(name)s AND position = %(from)s
RETURNING position
