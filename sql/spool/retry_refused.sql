-- SQLite. Put the refused records at the end of the journal again, oldest first; remove_refused takes them out here.
-- No parameters. Returns nothing.
INSERT INTO journal (kind, record) SELECT kind, record FROM refused ORDER BY sequence
