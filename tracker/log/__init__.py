"""The log: every fact about a message as it reached us, numbered in the order the database took it, never changed.

The way in: ``Appender`` gathers events that are waiting together and gives them to ``EventStore``, which appends a batch in one
transaction and one round trip. An event counts as taken only when that transaction has committed.

The way in without the database: ``Failover`` stands between the two. A batch that the database does not take, or does not answer in
time, goes into a ``Journal``, a SQLite file (``Spool``) on the local disk, with one fsync; from then on batches go there at once, and
an event counts as taken when it is there. ``Drain`` looks for the database, appends what is in the journal when it is back, and so
ends the failover. Everything may be appended twice, because an event is stored once: what was in doubt is never asked about, but
appended again.

The way out: ``reader`` returns events by position. A reader may assume that positions are 1, 2, 3 … without gaps and that what
it has read stays as it is. It takes only the contiguous prefix after its checkpoint: should a gap ever show (as on a sharded
PostgreSQL, where the rows of one append may become visible at different moments), a gap means *wait*, never *skip*.
"""
