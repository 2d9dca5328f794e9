"""What the log says about one message: its state as of a moment, its history, and why it is so.

Nothing here reads or writes. The API, the pages and ``tracker history`` all answer from this package, so they cannot
contradict each other.
"""
