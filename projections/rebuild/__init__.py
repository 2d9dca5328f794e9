"""Rebuild projections from the log next to the live tables, compare, then swap."""
