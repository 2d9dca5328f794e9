"""What a run leaves behind of a message: what the tracker took of it, and what it must know now."""

from dataclasses import dataclass, field

import msgspec

from tracker.simulate.expectation import State, alternatives, expected_state
from tracker.simulate.world.population import Message, Update


class MessageOutcome(msgspec.Struct, frozen=True, gc=False, rename={"from_address": "from"}):
    """The state that a message must be in.

    status, error_code, is_final, raw_dlr_done_date, delivered: from the callbacks that were answered 2xx; status None:
    there were none, and the tracker does not know the message. channel, from_address: as of the callback that decides,
    and at the start when there is none. event_count: how many were answered 2xx, duplicates included. statuses: what
    they said, in the order of being answered. error_codes: all codes that were said, each once. in_doubt: callbacks
    that may have been taken as well (no answer, or a 5xx); alternatives: the states that are right too if they were.
    """

    message_sid: str
    account_sid: str
    messaging_service_sid: str | None
    channel: str
    country: str
    from_address: str
    to: str
    life_cycle: str
    status: str | None
    error_code: str | None
    is_final: bool
    raw_dlr_done_date: str | None
    event_count: int
    delivered: bool
    statuses: tuple[str, ...]
    error_codes: tuple[str, ...]
    in_doubt: int
    alternatives: tuple[State, ...]


def channel_by(from_address: str, message_sid: str) -> str:
    """The channel of a message from this sender: RCS that fell back goes out by SMS, from a number."""
    channel, colon, _ = from_address.partition(":")
    if colon:
        return channel
    return "mms" if message_sid.startswith("MM") else "sms"


@dataclass(slots=True)
class Taken:
    """Collects, for a message in flight, the updates that the tracker took and those of which nobody knows."""

    message: Message
    certain: list[Update] = field(default_factory=list[Update])
    in_doubt: list[Update] = field(default_factory=list[Update])

    def outcome(self) -> MessageOutcome:
        """What it comes to."""
        message, state = self.message, expected_state(self.certain)
        from_address = state.from_address or message.updates[0].from_address
        return MessageOutcome(
            message_sid=message.message_sid,
            account_sid=message.account_sid,
            messaging_service_sid=message.messaging_service_sid,
            channel=channel_by(from_address, message.message_sid),
            country=message.country,
            from_address=from_address,
            to=message.to_address,
            life_cycle=message.life_cycle,
            status=state.status,
            error_code=state.error_code,
            is_final=state.is_final,
            raw_dlr_done_date=state.raw_dlr_done_date,
            event_count=len(self.certain),
            delivered=state.delivered,
            statuses=tuple(update.status for update in self.certain),
            error_codes=tuple(sorted({update.error_code for update in self.certain if update.error_code})),
            in_doubt=len(self.in_doubt),
            alternatives=alternatives(self.certain, self.in_doubt),
        )
