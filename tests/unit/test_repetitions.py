"""How often each verified callback has been stored."""

import pytest

from tracker.web.repetitions import MAX_CALLBACKS, MAX_REPETITIONS, Repetitions, callback_digest


def digest(number: int) -> bytes:
    """Of some callback."""
    return callback_digest("https://h/p", b"%d" % number)


def test_a_callback_is_exhausted_after_twenty_repetitions() -> None:
    """The first and twenty more; one less leaves room."""
    repetitions = Repetitions()
    for _ in range(MAX_REPETITIONS):
        repetitions.count(digest(1))
    assert not repetitions.is_exhausted(digest(1))
    repetitions.count(digest(1))
    assert repetitions.is_exhausted(digest(1))
    assert not repetitions.is_exhausted(digest(2))


def test_the_table_is_bounded() -> None:
    """65,536 callbacks, each with 16 bytes; the one that was used longest ago makes room."""
    repetitions = Repetitions()
    for number in range(MAX_CALLBACKS + 100):
        repetitions.count(digest(number))
    assert len(repetitions) == MAX_CALLBACKS == 65_536
    assert digest(99) not in repetitions._stored
    assert digest(100) in repetitions._stored
    assert all(len(each) == 16 for each in repetitions._stored)


def test_a_replay_that_goes_on_is_not_forgotten() -> None:
    """Its refused repetitions are uses, too."""
    repetitions = Repetitions(capacity=2)
    for _ in range(MAX_REPETITIONS + 1):
        repetitions.count(digest(1))
    for number in range(2, 50):
        repetitions.count(digest(number))
        assert repetitions.is_exhausted(digest(1))
    repetitions.count(digest(50))
    repetitions.count(digest(51))
    assert not repetitions.is_exhausted(digest(1))


def test_looking_remembers_nothing() -> None:
    """A callback whose record fails leaves no trace."""
    repetitions = Repetitions()
    assert not repetitions.is_exhausted(digest(1))
    assert len(repetitions) == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("https://h/p", b"a=b"), ("https://h/p", b"a=c")),
        (("https://h/p", b"a=b"), ("https://h/p?x", b"a=b")),
        (("https://h/p", b"a=b"), ("https://h/pa", b"=b")),
        (("https://h/p", b"\0a=b"), ("https://h/p\0", b"a=b")),
    ],
)
def test_url_and_body_make_a_callback(one: tuple[str, bytes], other: tuple[str, bytes]) -> None:
    """And the boundary between them."""
    assert callback_digest(*one) != callback_digest(*other)
    assert callback_digest(*one) == callback_digest(*one)
