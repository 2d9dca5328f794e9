"""Chaos tests: real processes and a real PostgreSQL, killed, frozen and cut off under load. Each test counts: what was
acknowledged is stored, exactly once, at positions 1 to n without a gap, and every state is right."""
