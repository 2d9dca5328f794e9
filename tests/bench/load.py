"""The requests: signed beforehand, as Twilio would send them but for keep-alive, in a file that wrk reads."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from tests.bench.account import ACCOUNT_SID, AUTH_TOKEN, HOST, SIGNED_URL
from tracker.simulate.traffic.callbacks import Callback, Form, make_callback, parameters
from tracker.simulate.world.population import Message, Population, Wanted
from tracker.simulate.world.senders import Account
from tracker.twilio.signature import token_key
from tracker.web.webhook import PATH

LENGTH_BYTES: Final = 4
"""Before each request in the file: its length, big-endian, as requests.lua reads it."""

MESSAGES_AT_A_TIME: Final = 500
"""So many messages are on their way together: one's next status comes after the others' last."""

STATUSES: Final = range(2, 5)
"""How many statuses a message has that is taken."""


def write_requests(path: Path, count: int, seed: int, on_request: Callable[[], object] = lambda: None) -> None:
    """A file of ``count`` requests about messages that no other seed has. on_request: called after each."""
    with path.open("wb") as file:
        for callback in islice(callbacks(seed), count):
            request = as_http(callback)
            file.write(len(request).to_bytes(LENGTH_BYTES))
            file.write(request)
            on_request()


def as_http(callback: Callback) -> bytes:
    """The bytes of one request."""
    headers = {"host": HOST, **callback.headers, "content-length": str(len(callback.body))}
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + callback.body


def callbacks(seed: int) -> Iterator[Callback]:
    """Signed callbacks without end: every message is new, and its statuses come in order, with others' in between."""
    key = token_key(ACCOUNT_SID, AUTH_TOKEN)
    rng = random.Random(f"{seed}:tokens")
    for form in forms(seed):
        signed = SIGNED_URL + "".join(name + form[name] for name in sorted(form))
        token = f"{rng.getrandbits(128):032x}"
        yield make_callback(form, key.sign(signed.encode()).decode("ascii"), token)


def forms(seed: int) -> Iterator[Form]:
    """The parameters of ``callbacks``."""
    messages = _messages(seed)
    while True:
        together = list(islice(messages, MESSAGES_AT_A_TIME))
        for step in range(STATUSES.stop):
            yield from (
                parameters(message, message.updates[step]) for message in together if step < len(message.updates)
            )


def _messages(seed: int) -> Iterator[Message]:
    population = Population(seed, Account(ACCOUNT_SID, seed), Wanted())
    now = datetime.now(UTC)
    index = 0
    while True:
        message = population.message(index, now)
        index += 1
        if len(message.updates) in STATUSES:
            yield message
