"""The OpenAPI document: what it promises is what the server does."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator
from litestar import Litestar
from litestar.testing import TestClient

from tests.support.application import answering
from tests.support.events import SID, append, event, quarantined
from tests.support.projector import project

QUARANTINED = UUID(int=7)

PATHS = {
    "/api/messages",
    "/api/messages/{message_sid}",
    "/api/messages/{message_sid}/events",
    "/api/quarantine",
    "/api/quarantine/{quarantine_id}",
    "/api/stats",
}


@pytest.fixture
def client(database_url: str) -> Iterator[TestClient[Litestar]]:
    """A server with one message."""
    append(database_url, [event("sent"), event("delivered", 5, RawDlrDoneDate="2603011200", X="1")])
    append(database_url, [quarantined("invalid_status", f"MessageSid={SID}&MessageStatus=sent", identity=QUARANTINED)])
    project(database_url)
    with answering(database_url) as client:
        yield client


def operations(client: TestClient[Litestar]) -> dict[str, Any]:
    """The documented GETs by path."""
    document = client.get("/schema/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    return {path: item["get"] for path, item in document["paths"].items() if "get" in item}


def test_every_endpoint_is_described(client: TestClient[Litestar]) -> None:
    """With a summary, a description, and each parameter in words; nothing else is in it."""
    found = operations(client)
    assert found.keys() == PATHS
    for operation in found.values():
        assert operation["summary"]
        assert operation["description"]
        assert all(parameter["description"] for parameter in operation["parameters"])
        assert operation["responses"].keys() >= {"200", "400", "401", "503"}
        for status, response in operation["responses"].items():
            assert list(response["content"]) == ["application/json" if status == "200" else "application/problem+json"]


def test_the_documented_parameters_are_the_ones_that_are_taken(client: TestClient[Litestar]) -> None:
    """Each documented one is known to the server, with its own example where it has one."""
    for path, operation in operations(client).items():
        for parameter in operation["parameters"]:
            if parameter["in"] == "query":
                example = next(iter(parameter.get("examples", {}).values()), {"value": "x"})["value"]
                response = client.get(
                    path.format(message_sid=SID, quarantine_id=QUARANTINED), params={parameter["name"]: example}
                )
                assert "There is no query parameter" not in response.text, (path, parameter["name"])
                assert response.status_code in ({200, 404} if "examples" in parameter else {400}), response.text


def test_answers_are_as_documented(client: TestClient[Litestar]) -> None:
    """Answers and problems validate against their schemas, and have no field that is not documented."""
    document = client.get("/schema/openapi.json").json()
    for path, operation in operations(client).items():
        identities = (str(QUARANTINED), "x", str(UUID(int=0))) if "quarantine" in path else (SID, "x", "SM" + "0" * 32)
        for identity, status in zip(identities, ("200", "400", "404"), strict=True):
            if status not in operation["responses"] or ("{" not in path and status != "200"):
                continue
            response = client.get(path.format(message_sid=identity, quarantine_id=identity))
            assert str(response.status_code) == status
            (content,) = operation["responses"][status]["content"].values()
            schema = {**content["schema"], "components": document["components"]}
            Draft202012Validator(schema).validate(response.json())
            name = content["schema"]["$ref"].rpartition("/")[2]
            assert response.json().keys() == document["components"]["schemas"][name]["properties"].keys()


def test_security_is_documented_where_there_is_a_token(client: TestClient[Litestar], database_url: str) -> None:
    """A bearer for each endpoint; nothing where no token is set."""
    assert all("security" not in operation for operation in operations(client).values())
    with answering(database_url, "s3cret") as guarded:
        document = guarded.get("/schema/openapi.json", headers={"Authorization": "Bearer s3cret"}).json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    endpoints = [operation for item in document["paths"].values() for operation in item.values()]
    assert len(endpoints) > len(PATHS)
    assert all(operation["security"] == [{"bearer": []}] for operation in endpoints)


def test_people_read_it_as_a_page(client: TestClient[Litestar]) -> None:
    """Descriptions of several lines of source are one paragraph, without escapes."""
    page = client.get("/schema", headers={"Accept": "text/html"}).text
    assert all(path in page for path in PATHS)
    assert "\\u00" not in page
