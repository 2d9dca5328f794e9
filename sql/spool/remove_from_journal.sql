-- SQLite. Remove what has been appended, from the front.
-- last: the highest sequence to go. Returns nothing.
DELETE FROM journal WHERE sequence <= :last
