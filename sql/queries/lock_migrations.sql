-- Wait until no other process migrates; held until the session ends.
-- key bigint: the advisory lock's key. Returns one row of nothing.
SELECT pg_advisory_lock(%(key)s)
