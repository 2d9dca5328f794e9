"""Figures of a run."""

from array import array

import pytest

from tracker.simulate.tally import Tally, is_expected, is_in_doubt, is_taken, percentile
from tracker.simulate.traffic.disorder import Kind
from tracker.simulate.traffic.sender import Answer


@pytest.mark.parametrize(
    ("answer", "taken", "in_doubt"),
    [
        (200, True, False),
        (204, True, False),
        (302, False, False),
        (403, False, False),
        (500, False, True),
        (503, False, True),
        ("unreachable", False, False),
        ("no_answer", False, True),
    ],
)
def test_what_an_answer_means(answer: Answer, taken: bool, in_doubt: bool) -> None:
    """2xx: kept. 5xx or none: nobody knows. Anything else: not kept."""
    assert (is_taken(answer), is_in_doubt(answer)) == (taken, in_doubt)


@pytest.mark.parametrize("kind", ["original", "duplicate"])
def test_genuine_callbacks_expect_to_be_taken(kind: Kind) -> None:
    """Nothing else will do."""
    assert is_expected(kind, 200)
    assert not any(is_expected(kind, answer) for answer in (403, 500, "unreachable", "no_answer"))


@pytest.mark.parametrize("kind", ["forged", "unsigned"])
def test_forgeries_expect_403(kind: Kind) -> None:
    """Nothing else will do, no other refusal either."""
    assert is_expected(kind, 403)
    assert not any(is_expected(kind, answer) for answer in (200, 400, 500, "unreachable", "no_answer"))


def test_only_answered_callbacks_have_a_latency() -> None:
    """Milliseconds; a timeout would tell of its limit, not of the server."""
    tally = Tally()
    tally.count_callback("original", "sent", 200, 0.25)
    tally.count_callback("original", "sent", "no_answer", 15.0)
    assert list(tally.latencies) == [250.0]
    assert tally.answers == {"200": 1, "no_answer": 1}


@pytest.mark.parametrize(("share", "expected"), [(0.5, 51.0), (0.99, 100.0), (1.0, 100.0)])
def test_percentiles(share: float, expected: float) -> None:
    """Of 1 to 100, in any order."""
    assert percentile(array("f", range(100, 0, -1)), share) == expected


def test_no_answers_no_percentile() -> None:
    """Not nought, which would be very fast."""
    assert percentile(array("f"), 0.5) is None
