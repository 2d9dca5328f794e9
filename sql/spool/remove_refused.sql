-- SQLite. Forget what is in the journal again.
-- No parameters. Returns nothing.
DELETE FROM refused
