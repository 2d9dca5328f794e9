"""The log: events as they were received, at dense positions in commit order, never changed (docs/adr/0001-dense-positions.md).

Append: ``appender`` groups waiting events into batches, ``failover`` chooses where a batch goes, ``event_store`` appends it in one
transaction and one round trip. An event is acknowledged when that transaction has committed. No message broker stands in front
(docs/adr/0010-no-message-broker.md).

Overflow and outages: while the circuit breaker (``circuit_breaker``) is open, batches go to the ``spool`` on the local disk, with one
fsync each, and an event is acknowledged when it is there. The drain appends spooled records when the database is back. A batch whose
commit is in doubt is appended again: an event is stored once, by its ``event_id``.

Read: positions are 1, 2, 3 … without gaps, and an event that was read never changes. A reader applies the contiguous prefix after its
checkpoint. A gap, as on a sharded PostgreSQL where the rows of one append may become visible at different moments, means *wait*,
never *skip*.
"""
