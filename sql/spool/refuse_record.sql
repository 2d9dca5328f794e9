-- SQLite. Keep a record that is out of the journal's way.
-- kind text, record blob: as they were in the journal; reason text. Returns nothing.
INSERT INTO refused (kind, record, reason) VALUES (:kind, :record, :reason)
