-- SQLite. One row: the highest sequence that ever left the journal, which an empty journal would forget.
CREATE TABLE IF NOT EXISTS state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    removed INTEGER NOT NULL
)
