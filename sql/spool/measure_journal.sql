-- SQLite. How many records wait and how many are refused.
-- No parameters. Returns one row: rows of journal, which are contiguous and so need not be counted; rows of refused; the highest
-- sequence that was ever in journal, 0 for none; the highest one that has left it, 0 for none.
SELECT
    (SELECT coalesce(max(sequence), 0) FROM journal) - (SELECT coalesce(min(sequence), 1) FROM journal) + 1,
    (SELECT count(*) FROM refused),
    max((SELECT coalesce(max(sequence), 0) FROM journal), (SELECT removed FROM state)),
    max((SELECT removed FROM state), (SELECT coalesce(min(sequence), 1) - 1 FROM journal))
