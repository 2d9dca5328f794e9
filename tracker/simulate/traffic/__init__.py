"""The simulated traffic: signed callbacks, their disorder, pace and posting."""
