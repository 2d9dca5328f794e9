-- Begin a rebuild of a projection, or go on with one that was interrupted.
-- name text; version integer: of the program; tables text[]. Returns one row: the position from which it goes on.
SELECT rebuild.begin(%(name)s, %(version)s, %(tables)s) AS position
