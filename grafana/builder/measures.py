"""The PromQL that several panels share: messages by status, shares of them, quantiles."""

from typing import Final

RATE: Final = "$__rate_interval"
"""The window of a rate on a chart: Grafana fits it to the step and to the scrape interval."""

RANGE: Final = "$__range"
"""The whole time range, for a figure about all of it."""

MESSAGES: Final = "channel_country_status:twilio_messages:max"
DELIVERED: Final = "delivered"
FINISHED: Final = "delivered|undelivered|failed"
CHOSEN: Final = 'channel=~"$channel",country=~"$country"'
"""The channels and countries chosen at the top of the dashboard."""

FIRING: Final = 'ALERTS{alertstate="firing",service="tracker",severity!="none"}'
"""Alerts of this product that fire, but for the watchdog."""

PER_MINUTE: Final = "suffix: msg/min"
"""Messages a minute: readable for one message an hour and for a thousand a second."""

EVENTS_PER_MINUTE: Final = "suffix: ev/min"
CALLBACKS_PER_MINUTE: Final = "suffix: cb/min"


def messages(statuses: str, window: str, by: str = "", *, before: str = "", at: str = "") -> str:
    """Messages of the chosen channels and countries that reached one of the statuses within the window.

    by: labels to keep apart. before: how long ago the window ended, such as ``1w``. at: ``@ end()`` for a figure that
    is the same at every point of a chart.
    """
    offset = f" offset {before}" if before else ""
    grouping = f" by ({by})" if by else ""
    return f'sum{grouping} (increase({MESSAGES}{{status=~"{statuses}",{CHOSEN}}}[{window}]{at}{offset}))'


def delivered_share(window: str, by: str = "", *, before: str = "") -> str:
    """Of the messages that finished in the window, the share that was delivered; nothing where none finished."""
    return f"{messages(DELIVERED, window, by, before=before)} / ({messages(FINISHED, window, by, before=before)} > 0)"


def per_minute(counter: str, by: str = "") -> str:
    """How much a counter grows in a minute."""
    grouping = f" by ({by})" if by else ""
    return f"60 * sum{grouping} (rate({counter}[{RATE}]))"


def quantile(q: float, histogram: str, window: str, *, selector: str = "", by: str = "") -> str:
    """A quantile of a histogram; histogram without ``_bucket``."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({histogram}_bucket{selector}[{window}])))"
