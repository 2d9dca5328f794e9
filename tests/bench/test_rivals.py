"""The rivals do what their names say, so that the tracker is measured against that and not against a mistake."""

from itertools import islice

import psycopg
import pytest
from litestar.testing import TestClient

from tests.bench.load import callbacks
from tests.bench.rivals import SQL, ceiling, doing_nothing, usual_way
from tracker.web.webhook import PATH


@pytest.fixture
def usual_url(empty_database_url: str) -> str:
    """A database with the table of the usual way."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute((SQL / "create_callbacks.sql").read_bytes())
    return empty_database_url


@pytest.mark.parametrize("rival", [ceiling, doing_nothing], ids=lambda rival: rival.__name__)
def test_those_that_keep_nothing_answer_as_the_tracker_does(rival: type) -> None:
    """200 with an empty <Response/>: the same work for the client."""
    callback = next(callbacks(1))
    with TestClient(rival()) as client:
        answer = client.post(PATH, content=callback.body, headers=callback.headers)
    assert (answer.status_code, answer.text) == (200, "<Response/>")
    assert answer.headers["content-type"].startswith("text/xml")


def test_the_usual_way_keeps_what_it_answers(usual_url: str) -> None:
    """Every row is committed when the answer is there, with the evidence that the tracker keeps."""
    taken = list(islice(callbacks(1), 20))
    with TestClient(usual_way(usual_url)) as client, psycopg.connect(usual_url, autocommit=True) as connection:
        for number, callback in enumerate(taken, start=1):
            answer = client.post(PATH, content=callback.body, headers=callback.headers)
            assert (answer.status_code, answer.text) == (200, "<Response/>")
            assert connection.execute("SELECT count(*) FROM callbacks").fetchone() == (number,)
        rows = connection.execute(
            "SELECT body, signature, idempotency_token FROM callbacks ORDER BY position"
        ).fetchall()
    assert rows == [
        (each.body, each.headers["x-twilio-signature"], each.headers["i-twilio-idempotency-token"]) for each in taken
    ]


def test_the_usual_way_refuses_a_forged_callback(usual_url: str) -> None:
    """It pays for a verification that means something."""
    callback = next(callbacks(1))
    with TestClient(usual_way(usual_url)) as client, psycopg.connect(usual_url) as connection:
        answer = client.post(PATH, content=callback.body + b"&Body=forged", headers=callback.headers)
        assert answer.status_code == 403
        assert connection.execute("SELECT count(*) FROM callbacks").fetchone() == (0,)


def test_the_usual_table_has_the_columns_and_indexes_of_the_log(usual_url: str, database_url: str) -> None:
    """Neither side has less to write, however the log's table changes."""
    columns = "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = %s"
    indexes = "SELECT regexp_replace(indexdef, '.* USING', '') FROM pg_indexes WHERE tablename = %s"
    with psycopg.connect(usual_url) as usual, psycopg.connect(database_url) as ours:
        for question in (columns, indexes):
            rows = usual.execute(question, ["callbacks"]).fetchall()
            assert rows
            assert sorted(rows) == sorted(ours.execute(question, ["events"]).fetchall())
