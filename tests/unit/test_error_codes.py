"""The dictionary of error codes, and ``tracker errors``, which prints it."""

import csv
from importlib.resources import files
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given
from hypothesis import strategies as st

from tracker.commands.errors import command
from tracker.twilio.error_codes import (
    FAILED_FEE_USD,
    OTHER,
    Fault,
    all_codes,
    failed_fee_applies,
    find,
    metric_label,
)

# https://support.twilio.com/hc/en-us/articles/27502337507483-Failed-Message-Processing-Fees
FEE_EXEMPT = {
    *("12400", "20500", "20504", "30103", "30500", "63010", "63012"),  # errors inside Twilio
    "30036",  # validity period over
    *("30002", "30454", "63038", "90010"),  # suspension, trial and fraud limits
    "30450",  # SMS Pumping Protection
    "21408",  # geo permissions
    *("63013", "63018", "63021", "63024", "63032"),  # Meta's restrictions
    "30008",  # unknown error
}

PROPER_NOUNS = {
    *("Twilio", "Twilio's", "TwiML", "TLS", "API", "MaxPrice", "MaxRate", "StatusCallback", "StatusCallbackEvent"),
    *("ValidityPeriod", "ContentSid", "ContentVariables", "ContentRetention", "AddressRetention", "From", "SendAt"),
    *("Messaging", "MessagingServiceSid", "Campaign", "T-Mobile's", "WhatsApp", "Meta", "RCS", "10DLC"),
}

FULLWIDTH = "".join(chr(ord(digit) + 0xFEE0) for digit in "30003")
"""Digits to str.isdigit and int, but not to Twilio."""

NOT_CODES = (
    *("", " ", "0", "-30003", "+30003", "30003.0", "3e4", "030003", " 30003", "30003 ", "30003\n", "30_003"),
    *(FULLWIDTH, "30003\x00", "\ud800", "other", "code", "9" * 100_000),
)


def test_every_row_is_well_formed() -> None:
    """The file has the five columns, and every cell is filled, on one line and without stray spaces."""
    text = files("tracker.twilio").joinpath("error_codes.tsv").read_text("utf-8")
    header, *rows = csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    assert header == ["code", "label", "advice", "fault", "fee_exempt"]
    assert {len(row) for row in rows} == {5}
    assert [cell for row in rows for cell in row if not cell or cell != " ".join(cell.split())] == []
    assert len(rows) == len(all_codes())


def test_codes_are_unique_numbers_in_order() -> None:
    """At least the 244 codes that concern messages are there, each once, as five ASCII digits, in numerical order."""
    codes = [entry.code for entry in all_codes()]
    assert len(codes) >= 244
    assert len(set(codes)) == len(codes)
    assert [code for code in codes if not (code.isascii() and code.isdigit() and len(code) == 5)] == []
    assert codes == sorted(codes, key=int)


def test_labels_suit_a_legend() -> None:
    """A label has at most 48 characters and no full stop, is unique, and starts in lower case unless with a name."""
    labels = [entry.label for entry in all_codes()]
    assert [label for label in labels if len(label) > 48 or label.endswith(".")] == []
    assert len({label.lower() for label in labels}) == len(labels)
    firsts = {label.split(" ")[0].rstrip(":") for label in labels}
    assert {first for first in firsts if first != first.lower()} - PROPER_NOUNS == set()


def test_advice_fits_one_line() -> None:
    """Advice is a sentence of at most 160 characters, and no two codes share one."""
    advice = [entry.advice for entry in all_codes()]
    assert [text for text in advice if not 20 <= len(text) <= 160 or not text.endswith(".")] == []
    assert len(set(advice)) == len(advice)


def test_every_fault_occurs() -> None:
    """No class of fault is without a code, so that no filter comes up empty."""
    assert {entry.fault for entry in all_codes()} == set(Fault)


def test_exempt_codes_are_those_of_the_article() -> None:
    """Exactly the codes that Twilio's article names are exempt from the failed-message fee of a tenth of a cent."""
    assert {entry.code for entry in all_codes() if entry.fee_exempt} == FEE_EXEMPT
    assert {entry.code for entry in all_codes() if not failed_fee_applies(entry.code)} == FEE_EXEMPT
    assert FAILED_FEE_USD == 0.001


@pytest.mark.parametrize("code", [None, "", "99999", "030500", " 30500", "30500 "])
def test_a_failure_without_a_known_code_is_charged(code: str | None) -> None:
    """Exemption is by name: a failed message without a code, or with one that is not listed, costs the fee."""
    assert failed_fee_applies(code)


@pytest.mark.parametrize(
    ("code", "fault", "word"),
    [
        ("11200", Fault.SENDER, "webhook"),
        ("21408", Fault.SENDER, "country"),
        ("21610", Fault.RECIPIENT, "opted out"),
        ("30002", Fault.SENDER, "suspended"),
        ("30003", Fault.RECIPIENT, "out of reach"),
        ("30005", Fault.RECIPIENT, "unknown"),
        ("30006", Fault.RECIPIENT, "landline"),
        ("30007", Fault.CONTENT, "spam"),
        ("30008", Fault.CARRIER, "no reason"),
        ("30017", Fault.CARRIER, "overloaded"),
        ("30032", Fault.REGISTRATION, "toll-free"),
        ("30034", Fault.REGISTRATION, "10DLC"),
        ("30036", Fault.SENDER, "expired"),
        ("30410", Fault.CARRIER, "timed out"),
        ("30450", Fault.SENDER, "pumping"),
        ("30500", Fault.TWILIO, "internal"),
        ("57012", Fault.SENDER, "signature"),
        ("63016", Fault.CONTENT, "24-hour"),
        ("63024", Fault.RECIPIENT, "WhatsApp"),
        ("90010", Fault.SENDER, "inactive"),
    ],
)
def test_well_known_codes(code: str, fault: Fault, word: str) -> None:
    """The codes that are seen most lead to the right party, and their labels say what happened."""
    entry = find(code)
    assert entry is not None
    assert (entry.code, entry.fault) == (code, fault)
    assert word in entry.label


def test_every_code_finds_itself() -> None:
    """Each code of the dictionary is found, is its own metric label, and links to its page at Twilio."""
    for entry in all_codes():
        assert find(entry.code) is entry
        assert metric_label(entry.code) == entry.code
        assert entry.url == f"https://www.twilio.com/docs/api/errors/{entry.code}"


def test_no_code_is_no_entry() -> None:
    """Without a code there is nothing to find."""
    assert find(None) is None


@pytest.mark.parametrize("text", NOT_CODES, ids=lambda text: ascii(text)[:20])
def test_text_that_resembles_a_code_is_unknown(text: str) -> None:
    """Padding, signs, other digits and huge numbers are not the code that they resemble."""
    assert find(text) is None
    assert metric_label(text) == OTHER


@given(st.text() | st.integers().map(str) | st.from_regex(r"\s*0*[1-9][0-9]{4}\s*", fullmatch=True))
@example("30003")
def test_any_text_is_taken(text: str) -> None:
    """Whatever a callback says, nothing raises, and the metric label is one of the dictionary's codes or "other"."""
    entry = find(text)
    assert entry is None or entry.code == text
    assert metric_label(text) == (OTHER if entry is None else text)
    assert failed_fee_applies(text) is (text not in FEE_EXEMPT)


def test_entries_cannot_be_changed() -> None:
    """All callers share one entry, so none may change it."""
    with pytest.raises(AttributeError):
        setattr(all_codes()[0], "label", "changed")  # noqa: B010


def run(*arguments: str) -> Result:
    """``tracker errors`` with these arguments, on a terminal of 80 columns without colours."""
    return CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1", "FORCE_COLOR": "", "TERM": "dumb"}).invoke(
        command, arguments
    )


def words_of(result: Result) -> str:
    """What was printed, as one line without the panel's frame."""
    return " ".join(result.stdout.replace("│", " ").split())


def json_of(result: Result) -> list[dict[str, Any]]:
    return msgspec.json.decode(result.stdout, type=list[dict[str, Any]])


def test_a_code_is_explained_in_full() -> None:
    """A named code is printed with label, whole advice, fault, fee and a link that can be copied from one line."""
    result = run("30003")
    assert (result.exit_code, result.stderr) == (0, "")
    entry = find("30003")
    assert entry is not None
    words = words_of(result)
    for said in (f"30003 {entry.label}", f"advice {entry.advice}", "fault recipient", "failed fee $0.001"):
        assert said in words
    assert any(line.split()[1:3] == ["link", entry.url] for line in result.stdout.splitlines())


def test_text_in_brackets_and_quotes_is_printed_as_it_is() -> None:
    """Advice is text, not markup."""
    assert '{"1": "Ana"}' in run("21656").stdout


def test_an_exempt_code_says_so() -> None:
    """The panel tells a code without the fee from one with it."""
    assert "failed fee exempt" in words_of(run("30450"))


def test_without_codes_the_dictionary_is_listed() -> None:
    """One line a code, none cut at 80 columns."""
    result = run()
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for entry in all_codes():
        assert f"{entry.code} {entry.label} {entry.fault} {'exempt' if entry.fee_exempt else '$0.001'}" in lines


def test_json_is_one_array_of_everything() -> None:
    """``--json`` prints each field and the link, in the order asked and each code once, and nothing else."""
    objects = json_of(run("--json", "30007", "30003", "30007"))
    assert [found["code"] for found in objects] == ["30007", "30003"]
    assert list(objects[0]) == list(objects[1]) == ["code", "label", "advice", "fault", "fee_exempt", "url"]
    assert objects[1]["fault"] == "recipient"
    assert objects[1]["fee_exempt"] is False
    assert objects[1]["url"] == "https://www.twilio.com/docs/api/errors/30003"
    assert [found["code"] for found in json_of(run("--json"))] == [entry.code for entry in all_codes()]


@pytest.mark.parametrize("fault", list(Fault))
def test_fault_filters_the_list(fault: Fault) -> None:
    """``--fault`` leaves all codes of that class and no other."""
    codes = [found["code"] for found in json_of(run("--json", "--fault", fault.value))]
    assert codes == [entry.code for entry in all_codes() if entry.fault is fault]
    assert codes


def test_fault_filters_named_codes() -> None:
    """A named code of another fault is left out, and if none is left, stderr says why."""
    assert [found["code"] for found in json_of(run("--json", "--fault", "content", "30003", "30007"))] == ["30007"]
    result = run("--json", "--fault", "carrier", "30003")
    assert (result.exit_code, json_of(result)) == (0, [])
    assert "carrier" in result.stderr


def test_a_code_that_twilio_may_have_added_leads_to_its_page() -> None:
    """An unknown code of the right form ends with 1, a message on stderr with the link, and nothing on stdout."""
    result = run("99999")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "99999" in result.stderr
    assert "https://www.twilio.com/docs/api/errors/99999" in result.stderr


@pytest.mark.parametrize("text", ["", "nonsense", FULLWIDTH, "\x1b[31m", "9" * 10_000])
def test_text_that_is_no_code_is_shown_safely(text: str) -> None:
    """The message says what a code looks like, in one short line without the terminal's control characters."""
    result = run(text)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "30003" in result.stderr
    assert result.stderr.count("\n") == 1
    assert len(result.stderr) < 160
    assert "\x1b" not in result.stderr


def test_known_codes_are_still_explained_beside_an_unknown_one() -> None:
    """One unknown code fails the command but hides nothing: the known are on stdout, valid JSON if asked for."""
    result = run("--json", "30003", "99999")
    assert result.exit_code == 1
    assert [found["code"] for found in json_of(result)] == ["30003"]
    assert "99999" in result.stderr


def test_a_code_may_be_pasted_with_spaces() -> None:
    """The command line forgives what the dictionary does not: spaces around a code."""
    assert [found["code"] for found in json_of(run("--json", " 30003 "))] == ["30003"]


def test_an_unknown_fault_is_a_usage_error() -> None:
    """A fault that is no class ends with 2 and names the classes."""
    result = run("--fault", "weather")
    assert result.exit_code == 2
    assert "registration" in result.stderr
