"""Names that look like settings: misspelt, unknown, and none of ours."""

import pytest

from tracker.processes import PARENT_PIPE
from tracker.setting_names import INTERNAL, edit_distance, misspelt_names, unknown_names
from tracker.settings import setting_names
from tracker.web.worker import READY, SOCKET, STATS, WORKER

SETTINGS = setting_names()


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("", "ab", 2), ("same", "same", 0), ("abc", "abd", 1), ("abc", "acb", 1), ("abc", "bc", 1), ("abcd", "badc", 2),
     ("kitten", "sitting", 3)],
)  # fmt: skip
def test_edit_distance(one: str, other: str, distance: int) -> None:
    """Insertions, deletions, replacements, and swaps of neighbours count one each, in both directions."""
    assert edit_distance(one, other) == edit_distance(other, one) == distance


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("TRACKER_WORKER", "TRACKER_WORKERS"),
        ("TRACKER_PROT", "TRACKER_PORT"),
        ("tracker_host1", "TRACKER_HOST"),
        ("TRACKER_APPEND_TIMEOUTMS", "TRACKER_APPEND_TIMEOUT"),
        ("TWILIO_ACCOUNT_SIDS", "TWILIO_ACCOUNT_SID"),
        ("TWILIO_AUTHTOKEN", "TWILIO_AUTH_TOKEN"),
        ("PUBLIC_BASE_URI", "PUBLIC_BASE_URL"),
        ("PUBLIC_BASE_URLS", "PUBLIC_BASE_URL"),
        ("DATABASE_URLS", "DATABASE_URL"),
        ("TRACKER_API_TOKEN_FILES", "TRACKER_API_TOKEN_FILE"),
    ],
)
def test_up_to_two_edits_are_a_misspelling(name: str, setting: str) -> None:
    """Of the nearest setting, whatever the case."""
    assert list(misspelt_names([name], SETTINGS)) == [(name, setting)]


@pytest.mark.parametrize(
    "name",
    [
        *sorted(SETTINGS), "tracker_port", "TRACKER_APPEND_TIMEOUT_MS", "TWILIO_API_KEY", "TWILIO_API_SECRET", "TWILIO_EDGE",
        "TWILIO_REGION", "TWILIO_PROFILE", "TWILIO_PHONE_NUMBER", "TWILIO_MESSAGING_SERVICE_SID", "PUBLIC_KEY", "DATABASE_POOL",
        "RACKER_PORT", "PORT", *sorted(INTERNAL), "TRACKER_TEST_DATABASE_URL",
    ],
)  # fmt: skip
def test_other_names_are_no_misspelling(name: str) -> None:
    """Settings themselves, names three edits away, names of other tools, and other prefixes."""
    assert list(misspelt_names([name], SETTINGS)) == []


def test_unknown_names_are_our_own_prefix_alone() -> None:
    """What nothing of this project reads; names of Twilio's tools and of databases belong to others."""
    names = [
        "TRACKER_PORT",
        "TRACKER_COLOUR",
        "tracker_b",
        "TWILIO_COLOUR",
        "DATABASE_COLOUR",
        "PUBLIC_COLOUR",
        *INTERNAL,
    ]
    assert unknown_names(names, SETTINGS) == ["TRACKER_COLOUR", "tracker_b"]


def test_the_supervisors_own_names_are_known() -> None:
    """Those that it sets for its children, and none of them is taken for a misspelling in a child."""
    assert {PARENT_PIPE, READY, SOCKET, STATS, WORKER} == INTERNAL
