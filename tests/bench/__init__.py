"""``make bench``: the webhook beside a raw route, an ordinary handler and the usual way, in one run on one machine; and
how rebuilds and histories fare in a large log.

What is compared stands in ``rivals``, what is asked of it in ``results``. All of it runs on the loopback address, in
bounded time, and ends the processes that it started.
"""
