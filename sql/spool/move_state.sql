-- SQLite. Note what leaves the journal, in the transaction that removes it.
-- last: the highest sequence that leaves. Returns nothing.
UPDATE state SET removed = max(removed, :last)
