"""Who may use API, pages and metrics."""
