-- SQLite. How many of the tables of a marked spool are there: three in a whole file.
-- No parameters. Returns one row: the number.
SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('journal', 'refused', 'state')
