"""What goes wrong on the way: exactly what was asked for."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.simulate.traffic.disorder import Arrangement, Posting, Trouble, arrange

SHARES = st.sampled_from([0.0, 0.3, 1.0])
TROUBLES = st.builds(Trouble, SHARES, SHARES, SHARES, SHARES, SHARES, SHARES)
NUMBER = 5_000


def arrangements(trouble: Trouble, updates: int = 3) -> list[Arrangement]:
    rng = random.Random(11)
    return [arrange(rng, updates, trouble) for _ in range(NUMBER)]


def count(found: list[Arrangement], kind: str) -> int:
    return sum(posting.kind == kind for arrangement in found for posting in (*arrangement.now, *arrangement.held))


@given(trouble=TROUBLES, updates=st.integers(1, 5), seed=st.integers())
def test_every_update_is_sent_once_or_lost(trouble: Trouble, updates: int, seed: int) -> None:
    """Each original is sent now, sent at the end or lost, and a duplicate follows its original."""
    arrangement = arrange(random.Random(seed), updates, trouble)
    sent = [*arrangement.now, *arrangement.held]
    originals = [posting.update for posting in sent if posting.kind == "original"]
    assert sorted([*originals, *arrangement.lost]) == list(range(updates))
    for position, posting in enumerate(sent):
        if posting.kind == "duplicate":
            assert Posting(posting.update, "original") in sent[:position]
    assert all(posting.update in originals for posting in sent)


@given(trouble=TROUBLES, updates=st.integers(1, 5), seed=st.integers())
def test_without_disorder_and_lateness_everything_comes_in_order(trouble: Trouble, updates: int, seed: int) -> None:
    """Loss, duplicates and forgeries put nothing out of order."""
    arrangement = arrange(random.Random(seed), updates, replace(trouble, disorder=0.0, late=0.0))
    originals = [posting.update for posting in arrangement.now if posting.kind == "original"]
    assert originals == sorted(originals)
    assert not arrangement.out_of_order


@given(updates=st.integers(2, 5), seed=st.integers())
def test_a_message_chosen_for_disorder_really_is_out_of_order(updates: int, seed: int) -> None:
    """Never by chance in order again."""
    arrangement = arrange(random.Random(seed), updates, Trouble(disorder=1.0))
    assert arrangement.out_of_order
    assert any(later.update < earlier.update for earlier, later in pairwise(arrangement.now))


def test_one_callback_alone_cannot_be_out_of_order() -> None:
    """It is sent all the same."""
    arrangement = arrange(random.Random(1), 1, Trouble(disorder=1.0))
    assert arrangement == Arrangement((Posting(0, "original"),), (), ())
    assert not arrangement.out_of_order


def test_a_late_first_callback_is_out_of_order() -> None:
    """What is told at the end of the run counts as told after the others."""
    told_last = Arrangement((Posting(1, "original"),), (Posting(0, "original"),), ())
    assert told_last.out_of_order


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_shares_are_those_asked_for(share: float) -> None:
    """Within two points, over 15,000 callbacks of 5,000 messages; exactly none and all at the ends."""
    tolerance = 0.02 if 0 < share < 1 else 0
    callbacks = 3 * NUMBER
    disordered = arrangements(Trouble(disorder=share))
    found = {
        "disorder": sum(arrangement.out_of_order for arrangement in disordered) / NUMBER,
        "duplicates": count(arrangements(Trouble(duplicates=share)), "duplicate") / callbacks,
        "late": sum(len(arrangement.held) for arrangement in arrangements(Trouble(late=share))) / callbacks,
        "loss": sum(len(arrangement.lost) for arrangement in arrangements(Trouble(loss=share))) / callbacks,
        "forged": count(arrangements(Trouble(forged=share)), "forged") / callbacks,
        "unsigned": count(arrangements(Trouble(unsigned=share)), "unsigned") / callbacks,
    }
    assert found == pytest.approx(dict.fromkeys(found, share), abs=tolerance)
