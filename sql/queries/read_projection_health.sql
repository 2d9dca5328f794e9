-- Where every projection stands, and how far behind the log it is. The whole log is ahead of one whose checkpoint is not in the log,
-- because it was put back to an earlier state.
-- No parameters. Returns name, version, position, failed_position, failed_reason, lag_events (events not yet taken in), lag_seconds
-- (how long the oldest of these has been in the log, 0 for none), by name. No rows without a log head. Uses events_pkey.
SELECT
    projections.name,
    projections.version,
    projections.position,
    projections.failed_position,
    projections.failed_reason,
    greatest(log_head.position - reached.position, 0) AS lag_events,
    coalesce(extract(EPOCH FROM clock_timestamp() - next_event.recorded_at), 0)::double precision AS lag_seconds
FROM projections
CROSS JOIN log_head
CROSS JOIN LATERAL (
    SELECT CASE WHEN is_in_log(projections.position, projections.event_id) THEN projections.position ELSE 0 END AS position
) AS reached
LEFT JOIN events AS next_event ON next_event.position = reached.position + 1
ORDER BY projections.name
