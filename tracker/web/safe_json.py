"""JSON answers without characters that steer a terminal, for those who look at them there."""

from typing import Any

from litestar import Response
from litestar.serialization import default_serializer
from litestar.types import Serializer

from tracker.control_characters import escape_json_octets


class SafeJsonResponse(Response[Any]):
    """JSON in which control and bidirectional characters are escaped; its value is the same."""

    def render(self, content: Any, media_type: str, enc_hook: Serializer = default_serializer) -> bytes:
        """The content as octets."""
        return escape_json_octets(super().render(content, media_type, enc_hook))
