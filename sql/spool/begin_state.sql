-- SQLite. Make the row of a new spool; an existing one stays.
-- removed: the highest sequence of an earlier file of this name, else 0. Returns nothing.
INSERT OR IGNORE INTO state (id, removed) VALUES (1, :removed)
