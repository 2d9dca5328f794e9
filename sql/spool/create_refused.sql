-- SQLite. What the database refuses to take, with its reason. Kept here until it is taken.
CREATE TABLE IF NOT EXISTS refused (
    sequence INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    record BLOB NOT NULL,
    reason TEXT NOT NULL
)
