"""Whatever is asked, the answer is one that the OpenAPI document promises: of its shape, and never a 500."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient
from schemathesis import GenerationMode

from tests.support.application import answering
from tests.support.database import PostgresForTests
from tests.support.events import SID, append, event, quarantined
from tests.support.projector import project

SLOW = (
    HealthCheck.too_slow,
    HealthCheck.filter_too_much,
    HealthCheck.data_too_large,
    HealthCheck.function_scoped_fixture,
)
"""Making requests of a document is slow, and that is all right."""

PATHS = (
    *("/api/messages", "/api/messages/{message_sid}", "/api/messages/{message_sid}/events"),
    *("/api/stats", "/api/quarantine", "/api/quarantine/{quarantine_id}"),
)


@pytest.fixture(scope="module")
def client(postgres: PostgresForTests) -> Iterator[TestClient[Litestar]]:
    """A server with a few messages."""
    with postgres.database() as url:
        append(url, [event("sent", number, f"SM{number:032x}", body=None, X="\0&=") for number in range(5)])
        append(url, [quarantined("no_status", "MessageSid=%00&X=%FF", number) for number in range(5)])
        append(url, [event("", body=f"MessageSid={SID}&MessageStatus=%F0%9F%99%82&ErrorCode=%00&To=%FF".encode())])
        project(url)
        with answering(url) as client:
            yield client


@pytest.fixture(scope="module")
def schema(client: TestClient[Litestar]) -> Any:
    """The document, read by a program that makes requests of it."""
    return schemathesis.openapi.from_dict(client.get("/schema/openapi.json").json())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mode", list(GenerationMode))
@settings(max_examples=60, suppress_health_check=SLOW)
@given(data=st.data())
def test_answers_keep_the_promises_of_the_document(
    client: TestClient[Litestar], schema: Any, path: str, mode: GenerationMode, data: st.DataObject
) -> None:
    """Status, media type and shape, for requests that follow the document and for those that break it."""
    case = data.draw(schema[path]["GET"].as_strategy(generation_mode=mode))
    request = requests.Request(**case.as_transport_kwargs(base_url="http://127.0.0.1")).prepare()
    assert request.url is not None
    response = client.request(case.method, request.url)
    assert response.status_code < 500, (request.url, response.text)
    if response.status_code != 405:
        schema[path]["GET"].validate_response(response)


PARAMETERS = (
    *("as_of", "clock", "status", "error_code", "account_sid", "to"),
    *("from", "since", "until", "limit", "cursor", "step", "group_by", "after", "reason", "accepted", "search"),
    *("had_error_code", "channel", "country", "messaging_service_sid", "effect", "has_conflict", "direction"),
)
SEGMENT = st.one_of(
    st.text(max_size=80), st.binary(max_size=40).map(lambda octets: octets.decode("latin-1")), st.just(SID)
)


@settings(max_examples=150, suppress_health_check=SLOW)
@given(
    path=st.sampled_from(
        [
            *("/api/messages/{}", "/api/messages/{}/events", "/api/messages", "/messages/{}", "/api/stats", "/"),
            *("/api/quarantine/{}", "/api/quarantine", "/quarantine/{}", "/quarantine", "/messages", "/{}"),
        ]
    ),
    segment=SEGMENT,
    query=st.lists(
        st.tuples(
            st.one_of(
                st.sampled_from(PARAMETERS),
                st.text(max_size=10),
            ),
            st.text(max_size=60),
        ),
        max_size=4,
    ),
    raw=st.binary(max_size=30),
)
def test_no_request_makes_a_server_error(
    client: TestClient[Litestar], path: str, segment: str, query: list[tuple[str, str]], raw: bytes
) -> None:
    """Not even one that no document describes; and every refusal says why."""
    escaped = "".join(f"%{octet:02X}" for octet in segment.encode("utf-8", "surrogatepass"))
    pairs = [(name.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass")) for name, value in query]
    text = "&".join(f"{_escape(name)}={_escape(value)}" for name, value in pairs) + _escape(raw)
    response = client.get(f"{path.format(escaped)}?{text}")
    assert response.status_code in {200, 400, 404}, response.text
    if response.status_code != 200 and path.startswith("/api"):
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["detail"]


def _escape(octets: bytes) -> str:
    return "".join(f"%{octet:02X}" for octet in octets)
