"""The requests of the benchmark: what Twilio would send, each about a message that no other round has."""

from collections import defaultdict
from itertools import islice
from pathlib import Path
from urllib.parse import parse_qsl

from twilio.request_validator import RequestValidator

from tests.bench.account import AUTH_TOKEN, HOST, SIGNED_URL
from tests.bench.load import LENGTH_BYTES, STATUSES, as_http, callbacks, forms, write_requests

COUNT = 6_000


def test_every_request_is_signed_as_twilio_signs() -> None:
    """By the judgement of twilio's own library: a request that is refused would be measured for nothing."""
    validator = RequestValidator(AUTH_TOKEN)
    for callback in islice(callbacks(1), 300):
        params = dict(parse_qsl(callback.body.decode("ascii"), keep_blank_values=True))
        assert validator.validate(SIGNED_URL, params, callback.headers["x-twilio-signature"])


def test_every_message_is_new_and_has_two_to_four_statuses() -> None:
    """In the order in which they came to pass, with others' in between; and no two rounds share a message."""
    statuses: defaultdict[str, list[str]] = defaultdict(list)
    places: defaultdict[str, list[int]] = defaultdict(list)
    for number, form in enumerate(islice(forms(1), COUNT)):
        statuses[form["MessageSid"]].append(form["MessageStatus"])
        places[form["MessageSid"]].append(number)
    # The last messages may be cut off by the end of the count.
    whole = list(statuses)[: len(statuses) // 2]
    assert {len(statuses[sid]) for sid in whole} <= set(STATUSES)
    assert {"delivered", "sent"} <= {statuses[sid][-1] for sid in whole}
    assert all(
        statuses[sid].index("sent") < statuses[sid].index("delivered") for sid in whole if "delivered" in statuses[sid]
    )
    assert (
        min(later - earlier for sid in whole for earlier, later in zip(places[sid], places[sid][1:], strict=False)) > 10
    )
    assert not set(statuses) & {form["MessageSid"] for form in islice(forms(2), COUNT)}


def test_a_request_is_whole() -> None:
    """One HTTP/1.1 request that keeps the connection, with Twilio's headers and the length of its body."""
    callback = next(callbacks(1))
    head, _, body = as_http(callback).partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert first == "POST /webhooks/twilio/status HTTP/1.1"
    assert headers["host"] == HOST
    assert headers["user-agent"] == "TwilioProxy/1.1"
    assert "connection" not in headers
    assert int(headers["content-length"]) == len(body) == len(callback.body)


def test_the_file_gives_the_requests_back(tmp_path: Path) -> None:
    """As requests.lua reads it: a length, then so many bytes, to the end."""
    write_requests(tmp_path / "requests", 50, seed=3)
    content = (tmp_path / "requests").read_bytes()
    read: list[bytes] = []
    while content:
        length = int.from_bytes(content[:LENGTH_BYTES])
        read.append(content[LENGTH_BYTES : LENGTH_BYTES + length])
        content = content[LENGTH_BYTES + length :]
    assert read == [as_http(callback) for callback in islice(callbacks(3), 50)]
