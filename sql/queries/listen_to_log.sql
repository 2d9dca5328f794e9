-- Hear of appends; the payload is the head's new position, a hint only.
-- No parameters. Returns nothing.
LISTEN tracker_log
