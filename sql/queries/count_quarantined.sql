-- How many of the newest quarantined callbacks wait for a person.
-- limit bigint: callbacks looked at, at most. Returns one row: looked_at and waiting. Uses quarantined_callbacks_newest_idx.
SELECT
    count(*) AS looked_at,
    count(*) FILTER (WHERE done.event_id IS NULL) AS waiting
FROM (
    SELECT quarantine_id FROM quarantined_callbacks ORDER BY received_at DESC, quarantine_id DESC LIMIT %(limit)s
) AS newest
LEFT JOIN quarantine_acceptances AS done ON newest.quarantine_id = done.quarantine_id
