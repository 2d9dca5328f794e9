-- Become the one rebuild of this database if there is none; held until the session ends.
-- key bigint: the advisory lock's key. Returns one row: whether the lock is ours now.
SELECT pg_try_advisory_lock(%(key)s) AS acquired
