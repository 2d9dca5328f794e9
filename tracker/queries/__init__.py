"""The read side: what API, pages and commands ask the log and the projections. Nothing here writes, but the notes of people."""
