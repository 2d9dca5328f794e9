"""The log: every fact about a message as it reached us, numbered in the order the database took it, never changed.

The way in: ``Appender`` gathers events that are waiting together and gives them to ``EventStore``, which appends a batch in one
transaction and one round trip. An event counts as taken only when that transaction has committed.

The way out: ``reader`` returns events by position. A reader may assume that positions are 1, 2, 3 … without gaps and that what
it has read stays as it is. It takes only the contiguous prefix after its checkpoint: should a gap ever show (as on a sharded
PostgreSQL, where the rows of one append may become visible at different moments), a gap means *wait*, never *skip*.
"""
