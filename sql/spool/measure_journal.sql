-- SQLite. How many records wait and how many are refused.
-- No parameters. Returns one row: rows of journal, which are contiguous and so need not be counted; rows of refused; the highest
-- sequence in journal, 0 if it is empty.
SELECT
    (SELECT coalesce(max(sequence), 0) FROM journal) - (SELECT coalesce(min(sequence), 1) FROM journal) + 1,
    (SELECT count(*) FROM refused),
    (SELECT coalesce(max(sequence), 0) FROM journal)
