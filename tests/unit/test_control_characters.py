"""Characters that steer a terminal or reorder a line are shown as escapes, and nothing else changes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.control_characters import escape_controls, escape_json, escape_json_octets

UNSAFE = [
    *(chr(code) for code in range(0x20)),
    *(chr(code) for code in range(0x7F, 0xA0)),
    *"\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c\u2028\u2029",
]


@pytest.mark.parametrize("character", UNSAFE, ids=[f"U+{ord(each):04X}" for each in UNSAFE])
def test_an_unsafe_character_becomes_its_escape(character: str) -> None:
    """Its code point in four hexadecimal digits; in JSON the value stays."""
    assert escape_controls(f"a{character}b") == f"a\\u{ord(character):04x}b"
    document = json.dumps({character: [character]}, ensure_ascii=False)
    escaped = escape_json(document)
    assert character not in escaped
    assert json.loads(escaped) == {character: [character]}
    assert escape_json_octets(document.encode()) == escaped.encode()


@pytest.mark.parametrize("character", [" ", "~", "\xa0", "é", "\u200d", "\u2030", "\u202f", "\u2065", "\u206a", "🙂"])
def test_a_neighbour_stays(character: str) -> None:
    """The characters just outside of each range, and the joiner that emoji need."""
    assert escape_controls(character) == character
    assert escape_json(character) == character
    assert escape_json_octets(character.encode()) == character.encode()


@given(st.text())
def test_a_document_means_the_same(text: str) -> None:
    """Whatever the text, the escaped document is read as the same value."""
    document = json.dumps(text, ensure_ascii=False, indent=1)
    assert json.loads(escape_json(document)) == text
    assert json.loads(escape_json_octets(document.encode())) == text
