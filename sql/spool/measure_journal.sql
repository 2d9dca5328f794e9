-- SQLite. How many records wait and how many are refused.
-- No parameters. Returns one row: rows of journal, which are contiguous and so need not be counted, and rows of refused.
SELECT
    (SELECT coalesce(max(sequence), 0) FROM journal) - (SELECT coalesce(min(sequence), 1) FROM journal) + 1,
    (SELECT count(*) FROM refused)
