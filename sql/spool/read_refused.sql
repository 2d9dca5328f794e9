-- SQLite. The refused records from a sequence on, oldest first.
-- first: a sequence; number: rows at most, all if negative. Returns sequence, kind, record.
SELECT sequence, kind, record FROM refused WHERE sequence >= :first ORDER BY sequence LIMIT :number
