-- SQLite. The journal from a sequence on, oldest first.
-- first: a sequence; number: rows at most, all if negative. Returns sequence, kind, record.
SELECT sequence, kind, record FROM journal WHERE sequence >= :first ORDER BY sequence LIMIT :number
