-- Say whose runner is the active one.
-- instance_id uuid. Returns nothing.
INSERT INTO projection_runner (instance_id) VALUES (%(instance_id)s)
ON CONFLICT (only_row) DO UPDATE SET instance_id = excluded.instance_id, acquired_at = clock_timestamp()
