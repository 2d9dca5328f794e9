-- SQLite. What waits to be appended, in order of arrival: sequences are contiguous, because rows leave from the front only.
-- kind: event or quarantined. record: as tracker.log.record packs it.
CREATE TABLE IF NOT EXISTS journal (
    sequence INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    record BLOB NOT NULL
)
