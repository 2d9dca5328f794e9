-- SQLite. Remove the probe.
-- No parameters. Returns nothing.
DELETE FROM probe
