"""Which verified bodies could be cut in another way where it matters."""

import random
from itertools import combinations

import pytest

from tests.support.callback_bodies import BODIES, repaired
from tracker.twilio.ambiguity import (
    KNOWN_NAMES,
    READ_NAMES,
    Rule,
    _hides_name,
    _is_ordinary,
    _Spans,
    find_ambiguity,
    find_broken_rule,
)
from tracker.twilio.callback import Callback, read_callback
from tracker.twilio.form import first_values, read_form, signed_text
from tracker.twilio.statuses import PHASES, normalise

Pairs = list[tuple[str, str]]

ACCOUNT, SID, SERVICE = "AC" + "0a" * 16, "SM" + "1b" * 16, "MG" + "2c" * 16
VICTIM = "SM" + "d3" * 16

STATUS: Pairs = [
    ("AccountSid", ACCOUNT),
    ("ApiVersion", "2010-04-01"),
    ("From", "+14155550199"),
    ("MessageSid", SID),
    ("MessageStatus", "delivered"),
    ("SmsSid", SID),
    ("SmsStatus", "delivered"),
    ("To", "+14155550100"),
]
"""A callback as Twilio sends it."""


def rule(pairs: Pairs, query: str = "") -> Rule | None:
    """The rule that a body breaks; the quick test and the rules one by one have to agree."""
    params, signed = first_values(pairs), signed_text(pairs)
    found = find_broken_rule(params, signed, pairs, query)
    assert find_ambiguity(params, signed, pairs if len(params) < len(pairs) else None, query) == found
    return found


def changed(**values: str | None) -> Pairs:
    """The callback with other values, added ones, or, for None, without them."""
    return [(name, value) for name, value in (dict(STATUS) | values).items() if value is not None]


ODD = {"doc-delivered-2511131245 1": "invalid_value", "postman-delivered-after-failed 2": "invalid_value"}
"""The only recorded bodies that no Twilio can have sent: an AccountSid that begins with XX, and the ErrorCode ERRORBOI."""


@pytest.mark.parametrize("name", BODIES)
def test_recorded_bodies_are_unambiguous(name: str) -> None:
    """An honest callback in the quarantine would be worse than a harmless cut in the log."""
    assert rule(repaired(BODIES[name])) == ODD.get(name)


def test_there_are_recorded_bodies() -> None:
    """An emptied file would pass every body in it."""
    assert len(BODIES) == 98


def test_most_recorded_bodies_are_ordinary() -> None:
    """Else the quick test would be of no use. The rest has unknown names or values without their shape."""
    bodies = [dict(repaired(body)) for body in BODIES.values()]
    ordinary = [body for body in bodies if _is_ordinary(body, signed_text([*body.items()]))]
    assert len(ordinary) >= 75


PIECES = (
    *(name[:end] for name in sorted(READ_NAMES) for end in range(2, len(name) + 1)),
    *("F", "T", "Fr", "From", "To"),
    *(ACCOUNT, SID, SERVICE, ACCOUNT[:-1], "", "+14155550199", "30003", "2611231501", "delivered", "sent", "un", "DELIVERED"),
)  # fmt: skip
"""Values of which some hide a read name, together with the name that is signed after them."""


def test_known_names_hide_no_address() -> None:
    """No From and no To begins in one known name or its value and ends in the next: the quick test relies on it."""
    for name in KNOWN_NAMES:
        assert name[0].isupper()
        assert not name.endswith(("F", "Fr", "Fro", "T"))


def random_body(chance: random.Random) -> Pairs:
    """A callback with some known or unknown names added, and some values replaced by pieces."""
    values: dict[str, str] = dict(STATUS)
    if chance.random() < 0.7:
        del values["ApiVersion"]
    for _ in range(chance.randrange(4)):
        name = (
            chance.choice(SORTED_NAMES) if chance.random() < 0.95 else chance.choice(("Tag", "delivered", "a b", "om"))
        )
        values[name] = "".join(chance.choices(PIECES, k=chance.choice((1, 1, 1, 2))))
    if chance.random() < 0.1:
        del values[chance.choice(list(values))]
    return chance.sample([*values.items()], len(values))


SORTED_NAMES = sorted(KNOWN_NAMES)


def test_the_quick_test_accepts_only_what_every_rule_accepts() -> None:
    """For random bodies of known names, among them many with a read name across two or three parts of the signed text. The rules are
    applied without their own quick test for hidden names."""
    chance = random.Random(14)
    ordinary = hidden = 0
    for _ in range(40_000):
        pairs = random_body(chance)
        broken = rule(pairs)
        params, signed = first_values(pairs), signed_text(pairs)
        hidden += broken == "hidden_name"
        if _is_ordinary(params, signed):
            ordinary += 1
            assert broken is None, pairs
            assert not _hides_name(_Spans(pairs), params, signed), pairs
    assert ordinary > 8_000
    assert hidden > 2_000


@pytest.mark.parametrize("name", BODIES)
def test_a_parsed_body_is_judged_like_its_pairs(name: str) -> None:
    """Whether ``read_form`` gives the pairs themselves or not."""
    form = read_form(BODIES[name])
    pairs = [*form.params.items()] if form.repeated is None else form.repeated
    assert find_ambiguity(form.params, form.signed, form.repeated, "") == rule(pairs)


CASES: dict[str, tuple[Pairs, str, Rule | None]] = {
    # Rule a.
    "a status twice": ([*STATUS, ("MessageStatus", "failed")], "", "repeated_name"),
    "a status twice, the other first": ([("MessageStatus", "failed"), *STATUS], "", "repeated_name"),
    "a blank second status": ([*STATUS, ("MessageStatus", "")], "", "repeated_name"),
    "a recipient twice": ([*STATUS, ("To", "+1")], "", "repeated_name"),
    "the same status twice": ([*STATUS, ("MessageStatus", "delivered")], "", None),
    "a name twice that is not read": ([*STATUS, ("Tag", "a"), ("Tag", "b")], "", None),
    "a known name twice that is not read": ([*STATUS, ("ApiVersion", "2011")], "", None),
    # Rule b.
    "a name with a space": ([*STATUS, ("a b", "")], "", "invalid_name"),
    "a name that begins with a digit": ([*STATUS, ("1a", "")], "", "invalid_name"),
    "a blank name": ([*STATUS, ("", "x")], "", "invalid_name"),
    "a name of 65 characters": ([*STATUS, ("a" * 65, "")], "", "invalid_name"),
    "a name of 64 characters": ([*STATUS, ("a" * 64, "")], "", None),
    "a name with all that names may have": ([*STATUS, ("aB9_.-", "")], "", None),
    "a name in another script": ([*STATUS, ("é", "")], "", "invalid_name"),
    # Rule c.
    "an account with more behind": (changed(AccountSid=ACCOUNT + "0"), "", "invalid_value"),
    "an account with a newline behind": (changed(AccountSid=ACCOUNT + "\n"), "", "invalid_value"),
    "an account in capitals": (changed(AccountSid="AC" + "0A" * 16), "", None),
    "an account with a small prefix": (changed(AccountSid=ACCOUNT.lower()), "", "invalid_value"),
    "a blank account": (changed(AccountSid=""), "", None),
    "a message SID of another kind": (changed(MessageSid="IM" + "0" * 32), "", None),
    "a message SID with a digit more": (changed(MessageSid=SID + "0"), "", "invalid_value"),
    "a legacy SID with a digit less": (changed(SmsSid=SID[:-1]), "", "invalid_value"),
    "a service": (changed(MessagingServiceSid=SERVICE), "", None),
    "a service of another kind": (changed(MessagingServiceSid=SID), "", "invalid_value"),
    "a code of six digits": (changed(ErrorCode="300030"), "", None),
    "a code of seven digits": (changed(ErrorCode="3000300"), "", "invalid_value"),
    "a code with a number behind": (changed(ErrorCode="30003From+15551234567", From=None), "", "invalid_value"),
    "a code in digits of another script": (changed(ErrorCode="٣"), "", "invalid_value"),
    "a date": (changed(RawDlrDoneDate="2025-01-01T12:01:30.5+00Z"), "", None),
    "a date of 40 characters": (changed(RawDlrDoneDate="1" * 40), "", None),
    "a date of 41 characters": (changed(RawDlrDoneDate="1" * 41), "", "invalid_value"),
    "a date in words": (changed(RawDlrDoneDate="today"), "", "invalid_value"),
    "a status of 64 letters": (changed(MessageStatus="x" * 64), "", None),
    "a status of 65 letters": (changed(MessageStatus="x" * 65), "", "invalid_value"),
    "a status of the carrier": (changed(MessageStatus="carrier-confirmed"), "", None),
    "a status with a digit": (changed(SmsStatus="sent2"), "", "invalid_value"),
    "addresses without shape": (changed(From="rcs:a b", To="<script>"), "", None),
    # Rule d.
    "a read name in a value": (changed(ApiVersion="2010-04-01ErrorCode30003"), "", "hidden_name"),
    "a read name in an unknown value": (changed(Zz="MessageSid"), "", "hidden_name"),
    "a read name across a name and its value": (changed(MessageSta="tussent"), "", "hidden_name"),
    "a read name across a value and a name": (changed(ApiVersion="2010Error", Code="1"), "", "hidden_name"),
    "a read name in a longer known name": (changed(SmsMessageSid=SID, MessageSid=None), "", None),
    "a read name in a longer unknown name": (changed(NewErrorCode="1"), "", "hidden_name"),
    "a read name in a longer unknown name and a name itself": (changed(NewErrorCode="1", ErrorCode="1"), "", None),
    "a read name in free text": (changed(Body="see ErrorCode"), "", "hidden_name"),
    "a read name in free text and a name itself": (changed(Body="see ErrorCode", ErrorCode="1"), "", None),
    "a read name in an error message": (changed(ErrorMessage="no MessageStatus"), "", None),
    "a read name in text that is not free": (changed(ChannelToAddress="MessageStatus"), "", "hidden_name"),
    "overlapping read names": (changed(ErrorMessageSid="1", ErrorMessage="x"), "", None),
    "overlapping read names of which one is missing": (changed(ErrorMessageSid="1"), "", "hidden_name"),
    "short read names in values": (changed(ApiVersion="From To"), "", None),
    # Rule e.
    "no From": (changed(From=None), "", None),
    "no From, but in an unknown name": (changed(From=None, ForwardedFrom="1"), "", "hidden_address"),
    "no From, but in a known name": (changed(From=None, FromCity="X"), "", None),
    "no From, but in a value": (changed(From=None, Body="From me"), "", None),
    "no From, but across a value and a name": (changed(From=None, na="Fr", omega="1"), "", "hidden_address"),
    "no To": (changed(To=None), "", None),
    "no To, but in an unknown name": (changed(To=None, Token="1"), "", "hidden_address"),
    "no To, but in a known name": (changed(To=None, ChannelToAddress="+1", ToZip="1"), "", None),
    "a To that is there": (changed(Token="1"), "", None),
    # Rule f.
    "un and delivered": (changed(MessageStatus="un", delivered="x"), "", "split_value"),
    "u and the rest": (changed(SmsStatus="u", ndeliveredX="x"), "", "split_value"),
    "un, deli and vered": (changed(MessageStatus="un", deli="veredX"), "", "split_value"),
    "u, nd, eli and vered": (changed(SmsSid=None, SmsStatus=None, To=None, MessageStatus="u", nd="eli", vered=""), "", "split_value"),
    "del, ive and red": (changed(SmsSid=None, SmsStatus=None, To=None, MessageStatus="del", ive="", red=""), "", "split_value"),
    "a blank status before a known one": (changed(MessageStatus=""), "", None),
    "an unknown status and another unknown name": (changed(MessageStatus="un", other="x"), "", None),
    "an unknown status and a known name": (changed(MessageStatus="un"), "", None),
    "a known status and an unknown name": (changed(MessageStatus="sent", delivered="x"), "", None),
    "a status in capitals": (changed(MessageStatus="DELIVERED"), "", None),
    "a blank status and a name that is one": (changed(MessageStatus="", delivered="x"), "", "split_value"),
    "a known status and the beginning of a name": (changed(MessageStatus="deliveredN", umMedia="0"), "", "split_value"),
    "a known status and a whole name and value": (changed(MessageStatus="deliveredTagfoo"), "", "split_value"),
    "a known status and letters beside an unknown name": (changed(SmsStatus="sentx", other="1"), "", "split_value"),
    "a longer status than a known one": (changed(MessageStatus="delivered_late"), "", None),
    "another unknown status beside an unknown name": (changed(MessageStatus="carrier", other="1"), "", None),
    "a date and the rest of it": (changed(RawDlrDoneDate="2025-01-01", T12=":01"), "", "split_value"),
    "a date and the beginning of a name": (changed(RawDlrDoneDate="2511231501T", ag="1"), "", "split_value"),
    "a date with letters": (changed(RawDlrDoneDate="2025-01-01T12:01"), "", None),
    "a date of digits beside an unknown name": (changed(RawDlrDoneDate="2511231501", Tag="1"), "", None),
    "a blank date beside an unknown name": (changed(RawDlrDoneDate="", Tag="1"), "", None),
    # Rule g.
    "a read name in the query": (STATUS, "x=AccountSid" + ACCOUNT, "name_in_query"),
    "a short read name in the query": (STATUS, "From=1&To=2&campaign=summer", None),
    "tags in the query": (STATUS, "campaign=summer&tenant=7", None),
}  # fmt: skip


@pytest.mark.parametrize(("pairs", "query", "expected"), CASES.values(), ids=CASES.keys())
def test_each_rule_has_its_limits(pairs: Pairs, query: str, expected: Rule | None) -> None:
    """What is just ambiguous, and what is just not."""
    assert rule(pairs, query) == expected


FAILED = changed(
    ErrorCode="30003",
    MessageStatus="failed",
    SmsStatus="failed",
    RawDlrDoneDate="2611231501",
    MessagingServiceSid=SERVICE,
)
"""A failure, whose signature somebody knows."""

INBOUND: Pairs = [
    ("AccountSid", ACCOUNT),
    ("ApiVersion", "2010-04-01"),
    ("Body", f"helloMessageSid{VICTIM}MessageStatusdeliveredSmsSid{VICTIM}zz"),
    ("From", "+14155550199"),
    ("MessageSid", SID),
    ("NumMedia", "0"),
    ("SmsMessageSid", SID),
    ("SmsSid", SID),
    ("SmsStatus", "received"),
    ("To", "+14155550100"),
]
"""A text message whose sender wants it to be cut open."""


def glued(pairs: Pairs, first: str, number: int) -> Pairs:
    """The value of one parameter extended by the parameters that follow it in the signed text."""
    ordered = sorted(pairs)
    at = [name for name, _ in ordered].index(first)
    rest = ordered[at + 1 : at + 1 + number]
    swallowed = ordered[at][1] + "".join(name + value for name, value in rest)
    return [*ordered[:at], (first, swallowed), *ordered[at + 1 + number :]]


def cut_inbound(end: str) -> Pairs:
    """The text message cut open: its sender's parameters, and the real ones in the value of the last."""
    text = signed_text(INBOUND)
    before, hello = text.index("Body"), text.index("hello") + len("hello")
    rest = text[text.index(end) :]
    return (
        [
            ("AccountSid", ACCOUNT),
            ("ApiVersion", text[text.index("2010") : before]),
            ("Body", "hello"),
            ("MessageSid", VICTIM),
            ("MessageStatus", "delivered"),
            ("SmsSid", VICTIM),
            (rest[: len(end)], rest[len(end) :]),
        ]
        if hello
        else []
    )


ATTACKS: dict[str, tuple[Pairs, Pairs]] = {
    "the code into the account": (FAILED, glued(FAILED, "AccountSid", 2)),
    "the sender into the code": (FAILED, glued(FAILED, "ErrorCode", 1)),
    "the date into the service": (FAILED, glued(FAILED, "MessagingServiceSid", 1)),
    "the date into an old version": (FAILED, glued(FAILED, "ApiVersion", 1)),
    "the status into the SID": (FAILED, glued(FAILED, "MessageSid", 1)),
    "a text message cut open": (INBOUND, cut_inbound("zz")),
}  # fmt: skip
"""Other bodies of the same signature, by what they hide or forge."""


@pytest.mark.parametrize(("honest", "forged"), ATTACKS.values(), ids=ATTACKS.keys())
def test_known_attacks_are_ambiguous(honest: Pairs, forged: Pairs) -> None:
    """They verify under the honest body's signature, so nothing else would stop them."""
    assert signed_text(forged) == signed_text(honest)
    assert rule(forged) is not None


@pytest.mark.parametrize("name", ["MessageStatus", "SmsStatus"])
@pytest.mark.parametrize("cut", range(len("undelivered")))
def test_a_status_cut_short_is_ambiguous(cut: int, name: str) -> None:
    """Nothing, ``u``, ``un``, ``und`` … before a name that begins with the rest."""
    honest = changed(MessageStatus="undelivered", SmsStatus=None, SmsSid=None)
    honest = [(name if each == "MessageStatus" else each, value) for each, value in honest]
    rest = "undelivered"[cut:]
    forged = [(each, value[:cut] if each == name else value) for each, value in honest if each != "To"]
    forged.append((rest + "To", "+14155550100"))
    assert signed_text(forged) == signed_text(honest)
    assert rule(honest) is None
    assert rule(forged) is not None


def test_two_statuses_do_not_decide_by_their_order() -> None:
    """Reordering changes no signature."""
    twice = changed(MessageStatus="failed")
    for pairs in ([*twice, ("MessageStatus", "delivered")], [("MessageStatus", "delivered"), *twice]):
        assert rule(pairs) == "repeated_name"


def test_parameters_moved_into_the_query_are_found() -> None:
    """The URL is signed right before the parameters, without a delimiter either."""
    text = signed_text(FAILED)
    for end in range(text.index("ErrorCode"), text.index("MessageSid")):
        query, rest = "shop=1" + text[:end], text[end:]
        name, value = rest[: len("ErrorCode")], rest[len("ErrorCode") :]
        assert rule([(name, value)], query) is not None


@pytest.mark.parametrize("query", ["shop=1", "Shop=1", "a=b&c=d", "x=A"])
def test_a_query_moved_into_the_body_changes_nothing_that_is_read(query: str) -> None:
    """A tag may be cut; the message, its status and its account stay."""
    honest = read_callback(dict(FAILED))
    for at in range(len(query)):
        for middle in range(at + 1, len(query) + 1):
            forged = [(query[at:middle], query[middle:]), *FAILED]
            if signed_text(forged) == query[at:] + signed_text(FAILED) and rule(forged, query[:at]) is None:
                assert read_callback(first_values(forged)) == honest


Reading = tuple[str | None, ...]


def reading(pairs: Pairs) -> Reading | None:
    """What decides a state: account, SID, MessageStatus, code and date; None where nothing reaches the log. All unknown statuses are
    alike: none decides over a known one."""
    params = first_values(pairs)
    callback = read_callback(params)
    if not isinstance(callback, Callback):
        return None
    status = params.get("MessageStatus") or None
    if status is not None and normalise(status) not in PHASES:
        status = "unknown"
    return callback.account_sid, callback.message_sid, status, callback.error_code, callback.raw_dlr_done_date


def cuts(window: Pairs, chance: random.Random) -> list[Pairs]:
    """Other pairs with the text of these: each boundary moved anywhere, a pair inserted into a name or a value, boundaries where a read
    name begins or ends, and any boundaries at random."""
    text = "".join(name + value for name, value in window)
    own: list[int] = []
    place = 0
    for name, value in window:
        own += [place + len(name), place + len(name) + len(value)]
        place = own[-1]
    own.pop()
    places = {found for name in READ_NAMES if (found := text.find(name)) > 0}
    places |= {found + len(name) for name in READ_NAMES if (found := text.find(name)) >= 0}
    places |= {*own} | {chance.randrange(1, len(text)) for _ in range(2)}
    inside = sorted(place for place in places if 0 < place < len(text))
    chosen: list[tuple[int, ...]] = []
    for number, boundary in enumerate(own):
        low = own[number - 1] if number else 1
        high = own[number + 1] if number + 1 < len(own) else len(text)
        chosen += [(*own[:number], moved, *own[number + 1 :]) for moved in range(low, high + 1) if moved != boundary]
    ends = [0, *own, len(text)]
    inserted = [
        (*own[:number], *pair, *own[number:])
        for number in range(len(own) + 1)
        for pair in combinations(range(ends[number] + 1, ends[number + 1]), 2)
    ]
    chosen += chance.sample(inserted, min(len(inserted), 240))
    for size in (1, 3, 5):
        some = list(combinations(inside, size))
        chosen += chance.sample(some, min(len(some), 160))
    for _ in range(60):
        chosen.append(tuple(sorted(chance.randrange(1, len(text)) for _ in range(chance.choice((1, 3, 5, 7))))))
    return [
        [
            (text[start:middle], text[middle:end])
            for start, middle, end in zip((0, *each[1::2]), each[0::2], (*each[1::2], len(text)), strict=True)
        ]
        for each in chosen
        if len(each) % 2
    ]


@pytest.mark.parametrize("share", [6, pytest.param(1, marks=pytest.mark.long)])
def test_accepted_cuts_agree_in_what_decides_a_state(share: int) -> None:
    """Cuts in windows of four neighbouring pairs of every recorded body, one window in so many: of those that verify, what is accepted is read alike."""
    chance = random.Random(9)
    tried = accepted = 0
    for number, (name, body) in enumerate(BODIES.items()):
        honest = sorted(set(repaired(body)))
        if name in ODD:
            continue
        expected, text = reading(honest), signed_text(honest)
        for start in range(number % share, max(len(honest) - 3, 1), share):
            before, window, after = honest[:start], honest[start : start + 4], honest[start + 4 :]
            for cut in cuts(window, chance):
                forged = [*before, *cut, *after]
                if signed_text(forged) != text:
                    continue
                tried += 1
                if rule(forged) is None:
                    accepted += 1
                    found = reading(forged)
                    assert found is None or found == expected, (name, cut)
    assert tried > 80_000 // share
    assert accepted > 8_000 // share


def test_a_text_message_makes_no_delivered() -> None:
    """An inbound message with the text of another callback, cut so that the names of its own fall into unknown names."""
    own = "SM" + "3" * 31 + "d"
    text = f"xFrom+1MessageSid{VICTIM}MessageStatusdeliveredSmsSid{VICTIM}SmsStatusdeliveredTo+1a"
    sent = [("AccountSid", ACCOUNT), ("ApiVersion", "2010-04-01"), ("Body", text), ("From", "+15551112222")]
    sent += [
        ("MediaUrl0", "https://api.twilio.com/ME12a"),
        ("MessageSid", own),
        ("NumMedia", "1"),
        ("ProfileName", "b"),
    ]
    sent += [("SmsMessageSid", own), ("SmsSid", own), ("SmsStatus", "received"), ("To", "+15553334444")]
    cut = [("AccountSid", ACCOUNT), ("ApiVersion", "2010-04-01"), ("Body", "x"), ("From", "+1"), ("MessageSid", VICTIM)]
    cut += [("MessageStatus", "delivered"), ("SmsSid", VICTIM), ("SmsStatus", "delivered"), ("To", "+1")]
    cut += [
        ("aFrom", "+15551112222MediaUrl0https://api.twilio.com/ME12"),
        ("aMessageSid" + own, "NumMedia1ProfileName"),
    ]
    cut += [("bSmsMessageSid" + own[:-1], ""), ("dSmsSid" + own[:-1], ""), ("dSmsStatusreceivedTo", "+15553334444")]
    assert signed_text(cut) == signed_text(sent)
    assert rule(cut) == "hidden_name"
    assert rule(changed(ParentMessageSid=own, MessageSidKind="x")) is None
