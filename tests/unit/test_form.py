"""The form a callback comes in, and what Twilio signs of it."""

from urllib.parse import parse_qsl, urlencode

from hypothesis import example, given
from hypothesis import strategies as st

from tracker.twilio.form import Forms, first_values, parse_form, signed_text

FORM_TEXT = st.lists(
    st.sampled_from(
        ["a", "é", "\0", "=", "&", "&&", "+", "%", "%2B", "%2b", "%3A", "%26", "%25", "%C3%A9", "%C3", "%zz", ";", "✓"]
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


def test_parameters_are_signed_sorted_and_each_pair_once() -> None:
    """By name, then value, by code point: capitals before small letters, and no delimiters."""
    assert (
        signed_text([("b", "2"), ("B", "1"), ("a", "3"), ("a", "10"), ("a", "3"), ("é", ""), ("c", "")])
        == "B1a10a3b2cé"
    )


def test_the_first_of_repeated_parameters_counts() -> None:
    """The sender's own order decides, not the last word."""
    assert first_values([("a", "1"), ("b", "2"), ("a", "3")]) == {"a": "1", "b": "2"}


@given(FORM_TEXT.map(str.encode) | st.binary(), st.lists(FORM_TEXT.map(str.encode) | st.binary(), max_size=5))
@example(b"a=1&b=%2B2", [b"b=1&a=2"])
@example(b"a%62=1&c=2", [])
@example(b"a=b=c&d=1", [b"a=1&d=2"])
@example(b"a&b=c=d", [b"a=1&c=d"])
@example(b'a="&b=\\', [b"a=1&b=2"])
@example(b"a=1&a=2", [b"a=1&b=2"])
@example(b"\x80=1&b=2", [])
@example(b"a=\n&b=%00", [b"a=1&b=2"])
@example(b"%s=1&%=2", [b"%25s=1&b=2"])
def test_a_remembered_shape_changes_no_answer(body: bytes, others: list[bytes]) -> None:
    """Whatever has been remembered before, this very body too: parameters and signed text are those of the plain reading."""
    pairs = parse_form(body)
    forms = Forms()
    for remembered in ([], others, [body]):
        for each in remembered:
            forms.remember(each)
        form = forms.read(body)
        assert (form.params, form.signed) == (first_values(pairs), signed_text(pairs))


CALLBACK = {"SmsSid": "SM1", "To": "+15558675310", "From": "whatsapp:+1", "MessageStatus": "sent", "Note": "a &=%é"}


def test_a_callback_of_a_remembered_shape_is_known() -> None:
    """The same names in the same order, whatever the values; another order is another shape."""
    forms = Forms()
    forms.remember(urlencode(CALLBACK).encode())
    assert forms.read(urlencode(CALLBACK | {"To": "+1", "Note": ""}).encode()).is_known
    assert not forms.read(urlencode(dict(reversed(CALLBACK.items()))).encode()).is_known


def test_shapes_are_bounded() -> None:
    """However many a sender invents, memory stays what it was."""
    forms = Forms()
    bodies = [f"a{number}=1&b=2".encode() for number in range(300)]
    for body in bodies:
        forms.remember(body)
    assert sum(forms.read(body).is_known for body in bodies) == 256
