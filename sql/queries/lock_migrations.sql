-- Become the one that migrates if nobody else does; held until the session ends.
-- key bigint: the advisory lock's key. Returns one row: whether the lock is ours now.
SELECT pg_try_advisory_lock(%(key)s) AS acquired
