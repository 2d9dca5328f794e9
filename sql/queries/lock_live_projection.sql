-- Keep the live projection from being written until the transaction ends. Reading goes on.
-- name text; tables text[]. Returns one row of nothing. Waits for the projector's transaction, up to lock_timeout.
SELECT rebuild.lock_live(%(name)s, %(tables)s)
