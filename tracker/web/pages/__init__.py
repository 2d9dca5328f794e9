"""Pages for people, drawn on the server: no scripts, and nothing from elsewhere."""
