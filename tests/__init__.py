"""Tests, laid out by what they need: ``unit`` needs nothing, ``integration`` a PostgreSQL, ``acceptance`` the whole program."""
