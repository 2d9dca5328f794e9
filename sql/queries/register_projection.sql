-- Start a projection that has no checkpoint yet before the first event, and let one that had stopped try again.
-- name text; version integer. Returns nothing.
INSERT INTO projections (name, version, position) VALUES (%(name)s, %(version)s, 0)
ON CONFLICT (name) DO UPDATE SET failed_position = NULL, failed_reason = NULL
