"""The form a callback comes in, and what Twilio signs of it."""

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracker.twilio.form import (
    MAX_SEPARATORS,
    MAX_UNESCAPED,
    first_values,
    is_bounded,
    parse_form,
    read_form,
    signed_text,
)

FORM_TEXT = st.lists(
    st.sampled_from(
        [
            *(
                "a",
                "é",
                "\0",
                "=",
                "&",
                "&&",
                "+",
                "%",
                "%2B",
                "%2b",
                "%3A",
                "%26",
                "%25",
                "%C3%A9",
                "%C3",
                "%zz",
                ";",
                "✓",
            ),
            *(
                "#",
                "?",
                " ",
                "\t",
                "\n",
                "\r",
                "\x1f",
                "\x7f",
                "\x85",
                "\ufeff",
                "%EF%BB%BF",
                "%ED%A0%80",
                "'",
                '"',
                "<",
                "\\",
            ),
            *("%23", "%09", "%0A", "%F0%9F%98%80", "%F0%9F", "%80", "%00", "/", ":", "@", "[", "^", "`", "|"),
        ]
    )
).map("".join)
"""Bodies made of what a parser may trip over."""


@given(FORM_TEXT | st.text())
@example("%252B=%2%2B&%%3A=%3A%")
def test_a_body_is_parsed_as_the_standard_library_does(text: str) -> None:
    """Order, repetitions and blank values included, whatever the escapes."""
    assert parse_form(text.encode()) == parse_qsl(text, keep_blank_values=True)


@given(st.binary())
@example(b"Body=\xff%ff&\xc3=1")
def test_bytes_that_are_no_text_are_parsed_too(body: bytes) -> None:
    """What is not UTF-8 becomes U+FFFD, escaped or not; nothing is raised."""
    assert parse_form(body) == parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)


@given(st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_every_parameter_that_was_sent_is_found(params: list[tuple[str, str]]) -> None:
    """What a sender encodes comes out as it went in."""
    assert parse_form(urlencode(params).encode()) == params


@pytest.mark.parametrize("edge", ["#", "\t", "\n", "\r", " ", "\0", "\x1f", "\ufeff", "%", "%2", "&", "+", "?"])
def test_characters_at_the_ends_of_a_body_are_kept(edge: str) -> None:
    """A URL parser trims white space and control characters there; a form has none to lose."""
    for text in (f"{edge}a=b{edge}", edge, f"a={edge}", f"{edge}=b"):
        assert parse_form(text.encode()) == parse_qsl(text, keep_blank_values=True)


def test_parameters_are_signed_sorted_and_each_pair_once() -> None:
    """By name, then value, by code point: capitals before small letters, and no delimiters."""
    assert (
        signed_text([("b", "2"), ("B", "1"), ("a", "3"), ("a", "10"), ("a", "3"), ("é", ""), ("c", "")])
        == "B1a10a3b2cé"
    )


def test_the_first_of_repeated_parameters_counts() -> None:
    """The sender's own order decides, not the last word."""
    assert first_values([("a", "1"), ("b", "2"), ("a", "3")]) == {"a": "1", "b": "2"}


@given(FORM_TEXT.map(str.encode) | st.binary())
@example(b"a=1&b=2&a=3")
@example(b"b=1&a=2")
@example(b"a=2&a=1&a=2")
@example(b"a=1&a=1")
@example(b"")
def test_a_form_is_read_as_its_parts_are(body: bytes) -> None:
    """Pairs in their order, each name's first value, and the signed text, of this very body and whatever was read before."""
    form = read_form(body)
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    assert (list(form.params.items()) if form.repeated is None else form.repeated) == pairs
    assert (form.repeated is None) == (len({name for name, _ in pairs}) == len(pairs))
    assert form.params == {name: next(value for each, value in pairs if each == name) for name, _ in pairs}
    assert form.signed == "".join(name + value for name, value in sorted(set(pairs)))


@pytest.mark.parametrize("size", [4095, 4096, 4097, 65_536])
@pytest.mark.parametrize("end", ["", "&", "&a", "&a=%2B+%3A", "&a=%2b", "&A=1"])
def test_a_body_of_any_size_is_read_alike(size: int, end: str) -> None:
    """Just below and above the size up to which a quicker parser is tried, with ends that it reads and ends that it does not."""
    text = "A=" + "a" * (size - len(end) - 2) + end
    form = read_form(text.encode())
    pairs = parse_qsl(text, keep_blank_values=True)
    assert len(text) == size
    assert form.signed == "".join(name + value for name, value in sorted(set(pairs)))
    assert form.params == dict(reversed(pairs))


@given(st.lists(st.tuples(st.text("aB%2=+:3A& ", max_size=4), st.text("aB%2=+:3A& ", max_size=6)), max_size=6))
def test_ordinary_bodies_are_read_like_others(pairs: list[tuple[str, str]]) -> None:
    """Escapes and separators next to each other, as an encoder writes them and with every other escape undone."""
    for text in (urlencode(pairs), urlencode(pairs).replace("%25", "%"), urlencode(pairs).replace("%3D", "=")):
        sent = parse_qsl(text, keep_blank_values=True)
        form = read_form(text.encode())
        assert (list(form.params.items()) if form.repeated is None else form.repeated) == sent
        assert form.signed == "".join(name + value for name, value in sorted(set(sent)))


def test_separators_are_bounded() -> None:
    """200 of them pass, one more does not."""
    assert is_bounded(b"&" * MAX_SEPARATORS)
    assert not is_bounded(b"&" * (MAX_SEPARATORS + 1))


@pytest.mark.parametrize("byte", [b"#", b"\0", b"\n", b" ", b'"', b"'", b"<", b">", b"\x7f", b"\x80", b"\xff"])
def test_bytes_that_a_form_encoder_escapes_are_bounded(byte: bytes) -> None:
    """256 of them pass, one more does not, however long the body is otherwise."""
    assert is_bounded(byte * MAX_UNESCAPED + b"a" * 60_000)
    assert not is_bounded(byte * (MAX_UNESCAPED + 1))


def test_what_a_form_encoder_writes_is_not_bounded() -> None:
    """An inbound text of 1,600 Chinese characters has 4,800 escapes."""
    assert is_bounded(urlencode({"Body": "你" * 1600, "Note": "a b#\n'\"<>" * 500}).encode())
