"""The spool: events on the local disk while the database does not accept them, and their way into the log.

``spool`` is what the event loop uses; ``spool_file`` is the SQLite file behind it, ``sqlite``, ``wal``, ``mark`` and ``verification``
detect a damaged file. ``drain`` moves records into the log with ``drainer``; ``orphans`` finds files that belong to no worker, and
``recovery`` reads damaged ones.
"""
