-- The series that /metrics shows of messages, and how often each projection was rebuilt, if the active runner is that of a server.
-- instance_id uuid: the server's. Returns metric, labels, value, created_at and exemplar_at (seconds since 1970), exemplar_position,
-- exemplar_value; of rebuilds the first three only. Returns nothing when the active runner is another's: that is decided on the same
-- snapshot as the values, so no two servers show a value at the same time.
SELECT
    metric,
    labels,
    value::double precision AS value,
    extract(EPOCH FROM created_at)::double precision AS created_at,
    exemplar_position,
    exemplar_value::double precision AS exemplar_value,
    extract(EPOCH FROM exemplar_at)::double precision AS exemplar_at
FROM metric_counters
WHERE EXISTS (SELECT FROM projection_runner WHERE projection_runner.instance_id = %(instance_id)s)
UNION ALL
SELECT 'tracker_projection_rebuilds_total', jsonb_build_object('projection', name), rebuilds, NULL, NULL, NULL, NULL
FROM projections
WHERE EXISTS (SELECT FROM projection_runner WHERE projection_runner.instance_id = %(instance_id)s)
ORDER BY metric, labels
