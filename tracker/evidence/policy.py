"""Policies (C2SP tlog-policy): which log a verifier trusts, and how many witnesses must have cosigned."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tracker.evidence.errors import NoteError
from tracker.evidence.note import COSIGNATURE_V1, ED25519, Note, Verifier, parse_vkey, verify_note

MAX_POLICY_BYTES: Final = 65_536
_NAME: Final = re.compile(r"[^\s+]{1,255}")
_LOG_FIELDS: Final = frozenset({2, 3})
_WITNESS_FIELDS: Final = frozenset({3, 4})
_GROUP_FIELDS: Final = 4
_QUORUM_FIELDS: Final = 2


class Group(msgspec.Struct, frozen=True):
    """Members of which at least ``threshold`` must have cosigned."""

    threshold: int
    members: tuple[str, ...]


class Policy(msgspec.Struct, frozen=True):
    """A parsed policy."""

    logs: tuple[Verifier, ...]
    witnesses: Mapping[str, Verifier]
    """By the name that the policy gives them."""
    groups: Mapping[str, Group]
    quorum: str | None
    """Name of a witness or a group; None: no cosignature is required."""

    def verify(self, note: str) -> Note:
        """The note, when a log of the policy signed it and the quorum is met. Raises NoteError."""
        parsed, signed = verify_note(note, [*self.logs, *self.witnesses.values()])
        if not any(log in signed for log in self.logs):
            raise NoteError("no signature of a log of the policy")
        if self.quorum is not None and not self._is_met(self.quorum, signed):
            raise NoteError("the policy's quorum of witnesses is not met")
        return parsed

    def _is_met(self, name: str, signed: Iterable[Verifier]) -> bool:
        witness = self.witnesses.get(name)
        if witness is not None:
            return witness in signed
        group = self.groups[name]
        return sum(self._is_met(member, signed) for member in group.members) >= group.threshold


def parse_policy(text: str) -> Policy:
    """A policy from its text. Raises NoteError with the line number of what is wrong."""
    if len(text) > MAX_POLICY_BYTES:
        raise NoteError("the policy is too long")
    logs: list[Verifier] = []
    witnesses: dict[str, Verifier] = {}
    groups: dict[str, Group] = {}
    quorums: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        try:
            _parse_line(fields, logs, witnesses, groups, quorums)
        except NoteError as error:
            raise NoteError(f"line {number} of the policy: {error}") from error
    if not logs:
        raise NoteError("the policy names no log")
    if len(quorums) != 1:
        raise NoteError("a policy has exactly one quorum")
    quorum = None if quorums[0] == "none" else quorums[0]
    return Policy(tuple(logs), witnesses, groups, quorum)


def _parse_line(
    fields: list[str],
    logs: list[Verifier],
    witnesses: dict[str, Verifier],
    groups: dict[str, Group],
    quorums: list[str],
) -> None:
    defined = witnesses.keys() | groups.keys()
    match fields:
        case ["log", vkey, *_] if len(fields) in _LOG_FIELDS:
            logs.append(_key(vkey, ED25519))
        case ["witness", name, vkey, *_] if len(fields) in _WITNESS_FIELDS:
            _check_new(name, defined)
            witnesses[name] = _key(vkey, COSIGNATURE_V1)
        case ["group", name, threshold, *members] if len(fields) >= _GROUP_FIELDS:
            _check_new(name, defined)
            if unknown := [member for member in members if member not in defined]:
                raise NoteError(f"{unknown[0][:64]} is not defined before its use")
            if len(set(members)) < len(members):
                raise NoteError("a group names a member twice")
            groups[name] = Group(_threshold(threshold, len(members)), tuple(members))
        case ["quorum", name] if len(fields) == _QUORUM_FIELDS:
            if name != "none" and name not in defined:
                raise NoteError(f"{name[:64]} is not defined before its use")
            quorums.append(name)
        case _:
            raise NoteError("expected log, witness, group or quorum with their fields")


def _key(vkey: str, signature_type: int) -> Verifier:
    verifier = parse_vkey(vkey)
    if verifier.signature_type != signature_type:
        raise NoteError(f"the key has signature type {verifier.signature_type}, not {signature_type}")
    return verifier


def _check_new(name: str, defined: Iterable[str]) -> None:
    if name == "none" or _NAME.fullmatch(name) is None or name in defined:
        raise NoteError("a name is defined twice, or not allowed")


def _threshold(text: str, members: int) -> int:
    if text == "any":
        return 1
    if text == "all":
        return members
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= members:  # noqa: PLR2004  # bounds int()
        return int(text)
    raise NoteError(f"a threshold is any, all, or a number from 1 to {members}")
