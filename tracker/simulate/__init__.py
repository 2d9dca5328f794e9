"""A stand-in for Twilio: posts the status callbacks that Twilio would post, and says what they must have led to.

A run is a number of messages. Message number i of a seed is always the same one (``population``): its SID, its numbers,
its channel and country, and the life cycle that Twilio tells about it (``life_cycles``, ``error_mix``). Each update of
a life cycle becomes one callback with the parameters, headers and signature of Twilio's (``callbacks``, ``forgery``).
Before they are posted, callbacks are lost, held back, shuffled, repeated and joined by forged ones, in the shares asked
for (``disorder``). ``sender`` posts them, ``run`` keeps the messages in flight, ``tally`` and ``outcome`` keep what
became of them, ``report`` shows it, and ``verify`` asks the tracker whether it agrees.

What the tracker should know in the end is worked out in ``expectation`` from the callbacks that were answered 2xx. It
states the rule a second time, on purpose: this package shares no code with what it checks, and signs with Twilio's own
library.
"""
