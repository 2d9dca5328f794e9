-- Move a projection's checkpoint on, in the transaction that writes its rows.
-- name text; version integer: of the program, which must be that of the rows; from bigint: where it must stand now; to bigint.
-- Returns one row, or none when another runner has moved it or a rebuild has brought rows of another version.
UPDATE projections SET position = %(to)s, updated_at = clock_timestamp()
WHERE name = %(name)s AND version = %(version)s AND position = %(from)s
RETURNING position
