"""Access to API, pages and metrics: tokens, and requests of this machine itself."""
