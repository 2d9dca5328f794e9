-- Throw a rebuild of a projection away.
-- name text; tables text[]. Returns one row of nothing.
SELECT rebuild.discard(%(name)s, %(tables)s)
