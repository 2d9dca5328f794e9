"""The messages of a run, and what Twilio says about each of them."""

import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from tracker.simulate.world.countries import COUNTRIES, Country
from tracker.simulate.world.error_mix import draw_error_code
from tracker.simulate.world.life_cycles import QUEUED, Channel, LifeCycle, Step, draw_life_cycle
from tracker.simulate.world.senders import Account, ChannelSender, draw_sid

SERVICE_SHARE = 0.4
"""Share of messages that are sent through a Messaging Service, where the life cycle leaves the choice."""

RECEIPT_DATE_SHARE = 0.85
"""Share of SMS and MMS messages whose carrier dates its receipts: "most" delivered and undelivered callbacks, says
https://twilio.com/en-us/changelog/addition-of-rawdlrdonedate-to-delivered-and-undelivered-status-webhooks ."""

_CARRIER_ZONES = (0, 60, -300, 330, 480), (86, 5, 4, 3, 2)
"""Offsets from UTC in minutes in which carriers date their receipts, and how often each."""

_COMPLAINT_SHARE = 0.7
_CHANNEL_COMPLAINTS = (
    "Recipient is not reachable on this channel",
    "Message refused by the channel: re-engagement window closed",
    "Empfänger über diesen Kanal nicht erreichbar",
    "Destinatário indisponível – tente mais tarde",
)
_ECHO_SHARE = 0.02
_ECHOED_BODIES = ("Your parcel is on its way 📦", "Código: 428 913", "Hello + welcome & thanks=100%")


@dataclass(frozen=True, slots=True)
class Update:
    """One thing that Twilio says about a message.

    error_code: digits as text, None where nothing failed. raw_dlr_done_date: ``YYMMDDhhmm`` of the carrier, None
    without a dated receipt. from_address: the sender as of this update.
    """

    status: str
    error_code: str | None
    raw_dlr_done_date: str | None
    from_address: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``updates``: all that Twilio says about it, in the order in which it came to pass.

    messaging_service_sid: None when sent without one. install_sid: of the installed channel, None for SMS and MMS.
    channel_complaint, echoed_body: texts of the callbacks that carry them; None: no callback of the message does.
    """

    index: int
    message_sid: str
    account_sid: str
    channel: Channel
    country: str
    to_address: str
    messaging_service_sid: str | None
    install_sid: str | None
    channel_complaint: str | None
    echoed_body: str | None
    life_cycle: str
    updates: tuple[Update, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What messages are wanted. Empty channels or countries: all. failure_share and error_code: None: a realistic mix.

    error_code: every failure has this one.
    """

    channels: Collection[Channel] = ()
    countries: Collection[str] = ()
    failure_share: float | None = None
    error_code: str | None = None


class Population:
    """All messages of a seed. Message ``index`` is the same whatever else was drawn, apart from its receipts' dates.

    Raises ValueError when no message goes out by any of the wanted channels in any of the wanted countries.
    """

    def __init__(self, seed: int, account: Account, wanted: Wanted) -> None:
        self._seed = seed
        self._account = account
        self._wanted = wanted
        self._routes: list[tuple[Country, Channel]] = []
        self._weights: list[float] = []
        for country in COUNTRIES.values():
            if not wanted.countries or country.code in wanted.countries:
                self._add_routes(country, wanted.channels)
        if not self._routes:
            raise ValueError(f"nothing is sent by {_either(wanted.channels)} to {_either(wanted.countries)}")

    def message(self, index: int, now: datetime) -> Message:
        """Message number ``index``, whose last receipt a carrier dated ``now`` (with a time zone)."""
        rng = random.Random(f"{self._seed}:message:{index}")
        country, channel = rng.choices(self._routes, self._weights)[0]
        life_cycle = draw_life_cycle(rng, channel, self._wanted.failure_share)
        service = life_cycle.service or rng.random() < SERVICE_SHARE
        number = country.draw_number(rng)
        sender = self._account.draw_channel_sender(rng, channel)
        return Message(
            index=index,
            message_sid=draw_sid(rng, "MM" if channel == "mms" else "SM"),
            account_sid=self._account.account_sid,
            channel=channel,
            country=country.code,
            to_address=_recipient(channel, number, service=service),
            messaging_service_sid=self._account.draw_service(rng) if service else None,
            install_sid=sender.install_sid if sender else None,
            channel_complaint=rng.choice(_CHANNEL_COMPLAINTS) if rng.random() < _COMPLAINT_SHARE else None,
            echoed_body=rng.choice(_ECHOED_BODIES) if rng.random() < _ECHO_SHARE else None,
            life_cycle=life_cycle.name,
            updates=self._updates(rng, _Way(channel, country.code, life_cycle, sender, service=service), now),
        )

    def _add_routes(self, country: Country, wanted: Collection[Channel]) -> None:
        total = sum(country.channels.values())
        for channel, share in country.channels.items():
            if not wanted or channel in wanted:
                self._routes.append((country, channel))
                self._weights.append(country.weight * share / total)

    def _updates(self, rng: random.Random, way: "_Way", now: datetime) -> tuple[Update, ...]:
        first = way.sender.address if way.sender else self._account.draw_number(rng, way.channel, way.country)
        then = self._account.draw_number(rng, "sms", way.country) if way.life_cycle.falls_back else first
        dated = way.by_carrier and rng.random() < RECEIPT_DATE_SHARE
        zone = timedelta(minutes=rng.choices(*_CARRIER_ZONES)[0])
        error_code = self._wanted.error_code or way.draw_error_code(rng)
        # The initial status (accepted, or queued without a service) brings no callback; queued after accepted does.
        queued = [Update(QUEUED.status, None, None, first)] if way.is_queued_by_service else []
        return (
            *queued,
            *(
                Update(
                    step.status,
                    error_code if step.fails else None,
                    _done_date(now + zone, step) if dated else None,
                    then,
                )
                for step in way.life_cycle.steps
            ),
        )


@dataclass(frozen=True, slots=True)
class _Way:
    """The way of one message: what its updates are drawn from."""

    channel: Channel
    country: str
    life_cycle: LifeCycle
    sender: ChannelSender | None
    service: bool

    @property
    def by_carrier(self) -> bool:
        """Whether it ends with a carrier, the only one to date receipts."""
        return self.sender is None or self.life_cycle.falls_back

    @property
    def is_queued_by_service(self) -> bool:
        return self.service and self.life_cycle.steps[0].status != "canceled"

    def draw_error_code(self, rng: random.Random) -> str | None:
        """The code of its failure; None when nothing fails."""
        failing = next((step for step in self.life_cycle.steps if step.fails), None)
        channel = "sms" if self.life_cycle.falls_back else self.channel
        return draw_error_code(rng, channel, failing.status, self.country) if failing else None


def _recipient(channel: Channel, number: str, *, service: bool) -> str:
    """``rcs:`` stands before the number only where the message may not fall back to SMS.

    Source: https://www.twilio.com/docs/rcs/send-an-rcs-message
    """
    if channel == "whatsapp" or (channel == "rcs" and not service):
        return f"{channel}:{number}"
    return number


def _done_date(now: datetime, step: Step) -> str | None:
    return None if step.receipt_age is None else f"{now - timedelta(minutes=step.receipt_age):%y%m%d%H%M}"


def _either(names: Collection[str]) -> str:
    return " or ".join(names) or "any"
