-- SQLite. Put a record at the end of the journal.
-- sequence: beyond every one that was ever in it; kind text, record blob. Returns nothing.
INSERT INTO journal (sequence, kind, record) VALUES (:sequence, :kind, :record)
