-- Keep for everyone to see why a projection does not go on.
-- name text; position bigint: of the event it cannot take in; reason text. Returns nothing.
UPDATE projections SET failed_position = %(position)s, failed_reason = %(reason)s WHERE name = %(name)s
