"""The recipe of docs/OPERATIONS.md: with the token, anyone proves that Twilio signed an event."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from tests.support.application import answering
from tests.support.events import SID, append, event
from tests.support.serving import TOKEN, sign

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "OPERATIONS.md"


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param([], id="usual"),
        pytest.param([("Tag", "b"), ("Tag", "a"), ("Tag", "b")], id="a repeated parameter"),
        pytest.param([("Body", "grüße+ &=%"), ("Empty", "")], id="characters that are escaped"),
    ],
)
def test_the_recipe_proves_an_event(database_url: str, extra: list[tuple[str, str]]) -> None:
    """For the answer of the API as it is; with another token it proves nothing."""
    pairs = [("MessageSid", SID), ("MessageStatus", "sent"), *extra]
    unsigned = event("", body=urlencode(pairs).encode())
    evidence = msgspec.structs.replace(unsigned.evidence, signature=sign(unsigned.evidence.url, pairs))
    append(database_url, [msgspec.structs.replace(unsigned, evidence=evidence)])
    with answering(database_url) as client:
        (told,) = client.get(f"/api/messages/{SID}/events").json()["events"]
    assert proves(told, TOKEN)
    assert not proves(told, "another token")


def proves(told: dict[str, Any], token: str) -> bool:
    """What the recipe says."""
    recipe = re.search(r"```python\n(.*?compute_signature.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert recipe is not None
    names: dict[str, Any] = {"event": told, "token": token}
    exec(recipe[1], names)  # noqa: S102  # a document of ours
    return names["proven"]
