-- What is wrong with the database, though it answers.
-- runner_key bigint: of the advisory lock that the active runner holds.
-- Returns one row of booleans: log_head_missing; fsync_off (fsync or full_page_writes: commits do not survive a crash of the machine);
-- log_rewound (a projection stands at an event that the log does not have); runner_lock_held (by a session that is no projector's);
-- login_is_superuser (this session's login may write the log without our functions; not of the embedded server, which has one login).
-- Uses events_pkey.
SELECT
    NOT EXISTS (SELECT FROM log_head) AS log_head_missing,
    'off' IN (current_setting('fsync'), current_setting('full_page_writes')) AS fsync_off,
    EXISTS (SELECT FROM projections WHERE is_in_log(projections.position, projections.event_id) IS FALSE) AS log_rewound,
    EXISTS (
        SELECT FROM pg_locks
        INNER JOIN pg_stat_activity AS holder ON pg_locks.pid = holder.pid
        WHERE
            pg_locks.locktype = 'advisory'
            AND pg_locks.database = (SELECT pg_database.oid FROM pg_database WHERE pg_database.datname = current_database())
            AND pg_locks.classid = (%(runner_key)s::bigint >> 32)::oid
            AND pg_locks.objid = (%(runner_key)s::bigint & 4294967295)::oid
            AND pg_locks.objsubid = 1
            AND pg_locks.granted
            AND NOT (holder.application_name = 'tracker-projector' AND pg_has_role(holder.usesysid, 'tracker_projector', 'MEMBER'))
    ) AS runner_lock_held,
    coalesce(current_setting('tracker.embedded', TRUE), '') <> 'on' AND (
        pg_has_role(session_user, 'tracker_writer', 'MEMBER')
        OR pg_has_role(session_user, (SELECT pg_class.relowner FROM pg_class WHERE pg_class.oid = 'events'::regclass), 'MEMBER')
    ) AS login_is_superuser
