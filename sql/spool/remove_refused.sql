-- SQLite. Forget refused records that are in the journal again, oldest first.
-- last: the highest sequence to go. Returns nothing.
DELETE FROM refused WHERE sequence <= :last
