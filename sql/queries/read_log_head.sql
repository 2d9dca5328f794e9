-- The log's last position.
-- No parameters. Returns one row.
SELECT position FROM log_head
