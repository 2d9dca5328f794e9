-- Let this session's commits wait for the disk where the server, the database or the role says that they need not. What waits for more
-- than the own disk (remote_write, remote_apply) stays as it is.
-- No parameters. Returns one row, or none where there was nothing to change. Uses no index, takes no lock.
SELECT set_config('synchronous_commit', 'on', FALSE) AS synchronous_commit
WHERE current_setting('synchronous_commit') IN ('off', 'local')
