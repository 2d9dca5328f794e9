-- SQLite. Put a record at the end of the journal.
-- kind text, record blob. Returns nothing.
INSERT INTO journal (kind, record) VALUES (:kind, :record)
