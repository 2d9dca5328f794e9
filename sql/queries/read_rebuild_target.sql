-- How far a rebuild of a projection goes: as far as the live one, so that the two can be compared; to the end of the log where the live
-- one is not there, has stopped, is of another version than the program, or stands at an event that the log does not have (any more).
-- name text; version integer: of the program.
-- Returns one row: position bigint; live_version integer and live_position bigint, NULL where there is no live one; comparable boolean.
SELECT
    CASE WHEN live.is_comparable THEN live.position ELSE log_head.position END AS position,
    live.version AS live_version,
    live.position AS live_position,
    coalesce(live.is_comparable, FALSE) AS comparable
FROM log_head
LEFT JOIN (
    SELECT
        version,
        position,
        version = %(version)s AND failed_position IS NULL AND public.is_in_log(position, event_id) AS is_comparable
    FROM public.projections
    WHERE name = %(name)s
) AS live ON TRUE
