-- Let the statements of this session find the tables that are being rebuilt before the live ones of the same names, and wait for locks
-- no longer than a reader may be made to wait.
-- synchronous_commit text: off where a commit that is lost with the server is no more than work done twice, else on.
-- Returns one row of settings.
SELECT
    set_config('search_path', 'rebuild, public', FALSE) AS search_path,
    set_config('synchronous_commit', %(synchronous_commit)s, FALSE) AS synchronous_commit,
    -- More than deadlock_timeout, after which an autovacuum that holds the lock is ended for the one who waits.
    set_config('lock_timeout', '1500ms', FALSE) AS lock_timeout,
    set_config('work_mem', '64MB', FALSE) AS work_mem
