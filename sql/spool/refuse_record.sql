-- SQLite. Move a record out of the journal's way.
-- sequence: in the journal; reason text. Returns nothing.
INSERT INTO refused (kind, record, reason) SELECT kind, record, :reason FROM journal WHERE sequence = :sequence
