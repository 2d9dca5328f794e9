"""HTTP: the webhook that takes callbacks, and the API, pages, metrics and health checks that answer questions."""
