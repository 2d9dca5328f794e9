-- Which runner of projections was the last to become active, and whether one is active now.
-- key bigint: of the advisory lock that the active runner holds. Returns one row: instance_id uuid and acquired_at timestamptz, NULL when
-- there never was one; is_active boolean; log_position bigint. No row without a log head.
SELECT
    runner.instance_id,
    runner.acquired_at,
    EXISTS (
        SELECT FROM pg_locks
        WHERE
            pg_locks.locktype = 'advisory'
            AND pg_locks.database = (SELECT pg_database.oid FROM pg_database WHERE pg_database.datname = current_database())
            AND pg_locks.classid = (%(key)s::bigint >> 32)::oid
            AND pg_locks.objid = (%(key)s::bigint & 4294967295)::oid
            AND pg_locks.objsubid = 1
            AND pg_locks.granted
    ) AS is_active,
    log_head.position AS log_position
FROM log_head
LEFT JOIN projection_runner AS runner ON TRUE
