"""The read side: queries over the log and the projections for API, pages and commands. Only annotations and acceptances are written."""
