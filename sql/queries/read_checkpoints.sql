-- Every projection's checkpoint.
-- No parameters. Returns name, version, position, failed_position, failed_reason, is_rewound (the log has another event at that position,
-- or ends before it), by name. Uses events_pkey.
SELECT
    name,
    version,
    position,
    failed_position,
    failed_reason,
    is_in_log(position, event_id) IS FALSE AS is_rewound
FROM projections
ORDER BY name
