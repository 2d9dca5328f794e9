-- Every projection's checkpoint.
-- No parameters. Returns name, version, position, failed_position, failed_reason, by name.
SELECT name, version, position, failed_position, failed_reason FROM projections ORDER BY name
