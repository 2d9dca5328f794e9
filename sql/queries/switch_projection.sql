-- Put the rebuilt tables of a projection, and their checkpoint, in the place of the live ones.
-- name text; tables text[]. Returns one row of nothing. Waits for readers of the old tables, up to lock_timeout.
SELECT
    set_config('synchronous_commit', 'on', TRUE) AS synchronous_commit,
    rebuild.switch(%(name)s, %(tables)s)
