-- SQLite. One row that is written and removed to find out whether the disk accepts anything.
CREATE TABLE IF NOT EXISTS probe (
    id INTEGER PRIMARY KEY,
    filler BLOB NOT NULL
)
