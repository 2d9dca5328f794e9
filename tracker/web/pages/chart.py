"""Charts as SVG, drawn on the server: bars of messages by outcome, and the delivery rate as a line above them.

Colours come from the page's style by class, so both colour schemes work and no inline style is needed. Each chart is drawn for a wide
and for a narrow screen, because text in a picture shrinks with it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from markupsafe import Markup

OBJECTIVE: Final = 0.95
"""The delivery rate that alerts hold the tracker to."""

BARS: Final = 100
"""Height of the bars' part, in the picture's own units, as all of these."""
RATE: Final = 80
"""Height of the line's part, above the bars."""
TOP: Final = 6
GAP: Final = 14
"""Between both parts."""
LEFT: Final = 46
AXIS: Final = 18
HEIGHT: Final = TOP + RATE + GAP + BARS + AXIS

WIDTHS: Final = {"wide": 620, "narrow": 330}


class Volume(NamedTuple):
    """Messages that reached an outcome within one step of time."""

    at: datetime
    sent: int
    delivered: int
    undelivered: int
    failed: int

    @property
    def finished(self) -> int:
        """Delivered or not, but done."""
        return self.delivered + self.undelivered + self.failed

    @property
    def rate(self) -> float | None:
        """Share of the finished that were delivered; None when nothing finished."""
        return self.delivered / self.finished if self.finished else None


def fill(volumes: Sequence[Volume], since: datetime, step: timedelta, steps: int) -> list[Volume]:
    """All steps, the empty ones too, oldest first."""
    known = {volume.at: volume for volume in volumes}
    moments = [since + step * number for number in range(steps)]
    return [known.get(at, Volume(at, 0, 0, 0, 0)) for at in moments]


def total(volumes: Sequence[Volume]) -> Volume:
    """All steps in one."""
    return Volume(
        volumes[0].at,
        sum(each.sent for each in volumes),
        sum(each.delivered for each in volumes),
        sum(each.undelivered for each in volumes),
        sum(each.failed for each in volumes),
    )


def draw(volumes: Sequence[Volume], title: str) -> Markup:
    """Pictures of the steps, of which a screen shows one. title: tells people who do not see it what it shows."""
    return Markup("").join(_draw(volumes, title, name, width) for name, width in WIDTHS.items())


def _draw(volumes: Sequence[Volume], title: str, name: str, width: int) -> Markup:
    top = max((volume.finished for volume in volumes), default=0) or 1
    step = (width - LEFT) / len(volumes)
    parts = [*_grid(top, width), *(part for index, each in enumerate(volumes) for part in _bar(index, each, step, top))]
    parts += [_line(volumes, step), *_times(volumes, step, 6 if name == "wide" else 3)]
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="chart {}">').format(
        width, HEIGHT, title, name
    )
    return head + Markup("").join(parts) + Markup("</svg>")


def _bar(index: int, volume: Volume, width: float, top: int) -> list[Markup]:
    """One step: delivered at the bottom, then undelivered, then failed, with the figures to read on pointing at it."""
    x, floor = LEFT + index * width, float(TOP + RATE + GAP + BARS)
    parts: list[Markup] = []
    for name, count in (
        ("delivered", volume.delivered),
        ("undelivered", volume.undelivered),
        ("failed", volume.failed),
    ):
        if count:
            height = count / top * BARS
            floor -= height
            parts.append(
                Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    name, x, floor, max(width - 1, 0.5), height
                )
            )
    words = (
        f"{volume.at:%H:%M} UTC: {volume.delivered} delivered, {volume.undelivered} undelivered, {volume.failed} failed"
    )
    return [Markup("<g><title>{}</title>").format(words), *parts, Markup("</g>")]


def rate_height(rate: float) -> float:
    """The vertical place of a delivery rate: 1 on top, 0 at the bottom of the line's part."""
    return TOP + (1 - rate) * RATE


def _grid(top: int, width: int) -> list[Markup]:
    base = TOP + RATE + GAP + BARS
    lines = ((rate_height(1), "grid"), (rate_height(OBJECTIVE), "objective"), (rate_height(0.5), "grid"))
    floors = ((rate_height(0), "grid"), (base - BARS, "grid"), (base, "grid"))
    labels = (
        (rate_height(1) + 4, "100 %"),
        (rate_height(0.5) + 4, "50 %"),
        (rate_height(0) + 1, "0 %"),
        (base - BARS + 9, f"{top:,}"),
        (base, "0"),
    )
    return [
        Markup('<line class="{}" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(name, LEFT, width, y, y)
        for y, name in (*lines, *floors)
    ] + [
        Markup('<text class="axis" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(LEFT - 5, y, words)
        for y, words in labels
    ]


def _line(volumes: Sequence[Volume], width: float) -> Markup:
    """The delivery rate from 0 to 100 per cent. Steps without a rate interrupt it."""
    commands: list[str] = []
    pen = "M"
    for index, volume in enumerate(volumes):
        rate = volume.rate
        if rate is None:
            pen = "M"
            continue
        # h0 makes a dot of a step that stands alone.
        commands.append(
            f"{pen}{LEFT + (index + 0.5) * width:.1f} {rate_height(rate):.1f}" + ("h0" if pen == "M" else "")
        )
        pen = "L"
    return Markup('<path class="rate" d="{}"/>').format(" ".join(commands))


def _times(volumes: Sequence[Volume], width: float, parts: int) -> list[Markup]:
    """The time at the beginning of each of that many parts of the picture."""
    every = max(len(volumes) // parts, 1)
    return [
        Markup('<text class="axis" x="{:.1f}" y="{}">{}</text>').format(
            LEFT + index * width, HEIGHT - 3, f"{volumes[index].at.astimezone(UTC):%H:%M}"
        )
        for index in range(0, len(volumes), every)
    ]
