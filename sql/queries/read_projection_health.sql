-- Where every projection stands, and how far behind the log it is.
-- No parameters. Returns name, version, position, failed_position, failed_reason, lag_events (events not yet taken in), lag_seconds
-- (how long the oldest of these has been in the log, 0 for none), by name. Uses events_pkey.
SELECT
    projections.name,
    projections.version,
    projections.position,
    projections.failed_position,
    projections.failed_reason,
    greatest(log_head.position - projections.position, 0) AS lag_events,
    coalesce(extract(EPOCH FROM clock_timestamp() - next_event.recorded_at), 0)::double precision AS lag_seconds
FROM projections
CROSS JOIN log_head
LEFT JOIN events AS next_event ON next_event.position = projections.position + 1
ORDER BY projections.name
