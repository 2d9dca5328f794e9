-- SQLite. The highest sequence that ever left the journal.
-- No parameters. Returns one row, none in a file of an earlier version.
SELECT removed FROM state
