"""What the simulator is tried against: a tracker that answers as a test wants it to, and Twilio's own validator."""

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web
from twilio.request_validator import RequestValidator  # pyright: ignore[reportMissingTypeStubs]  # it has none

from tracker.simulate.target import CALLBACK_PATH

TOKEN = "12345"
"""The auth token that tests sign with."""

Respond = Callable[["Received"], int | None]


@dataclass(frozen=True)
class Received:
    """A request as it came. target: path and query, byte by byte as sent. headers: by lower-case name."""

    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class StubTracker:
    """Answers callbacks as ``respond`` says (None: it hangs up), and the API with ``states`` by message SID.

    states: what to answer, one after the other; the last one stays.
    """

    respond: Respond = lambda _: 200
    states: dict[str, list[dict[str, object]]] = field(default_factory=dict[str, list[dict[str, object]]])
    api_token: str | None = None
    received: list[Received] = field(default_factory=list[Received])
    base_url: str = ""

    @property
    def url(self) -> str:
        return self.base_url + CALLBACK_PATH

    async def take_callback(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.raw_path, headers, await request.read())
        self.received.append(received)
        status = self.respond(received)
        if status is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        location = {"location": f"{self.base_url}/elsewhere"} if status // 100 == 3 else {}
        return web.Response(status=status, text="<Response/>", content_type="text/xml", headers=location)

    async def tell_state(self, request: web.Request) -> web.Response:
        if self.api_token is not None and request.headers.get("authorization") != f"Bearer {self.api_token}":
            return web.json_response({"status": 401}, status=401)
        states = self.states.get(request.match_info["sid"])
        if not states:
            return web.json_response({"status": 404}, status=404)
        return web.json_response(states.pop(0) if len(states) > 1 else states[0])


def validates(url: str, params: dict[str, str], signature: str) -> bool:
    """Whether Twilio's own library takes the signature."""
    validator = RequestValidator(TOKEN)
    return bool(validator.validate(url, params, signature))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
