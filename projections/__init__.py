"""Projections: tables derived from the log, one module per projection, and the runner that keeps them up to date."""
