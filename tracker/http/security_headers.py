"""Headers of every answer with content: no cache keeps it, and no browser takes it for something else than its media type."""

from typing import Final

SECURITY_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
"""Of API, metrics, health endpoints, OpenAPI document and problems. Pages have more, in ``tracker.web.pages.rendering``."""
