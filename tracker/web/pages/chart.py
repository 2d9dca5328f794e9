"""Charts as SVG, drawn on the server: bars of messages by outcome, and the delivery rate as a line above them.

Colours come from the page's style by class, so both colour schemes work and no inline style is needed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from markupsafe import Markup

WIDTH: Final = 640
BARS: Final = 120
"""Height of the bars' part, in the picture's own units, as all of these."""
RATE: Final = 56
"""Height of the line's part, above the bars."""
LEFT: Final = 44
AXIS: Final = 20
HEIGHT: Final = RATE + BARS + AXIS + 12


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
    """A picture of the steps. title: says to those who do not see it what it shows."""
    top = max((volume.finished for volume in volumes), default=0) or 1
    width = (WIDTH - LEFT) / len(volumes)
    parts = [*_grid(top), *(part for index, volume in enumerate(volumes) for part in _bar(index, volume, width, top))]
    parts += [_line(volumes, width), *_times(volumes, width)]
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="chart">').format(WIDTH, HEIGHT, title)
    return head + Markup("").join(parts) + Markup("</svg>")


def _bar(index: int, volume: Volume, width: float, top: int) -> list[Markup]:
    """One step: delivered at the bottom, then undelivered, then failed, with the figures to read on pointing at it."""
    x, floor = LEFT + index * width, float(RATE + BARS)
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


def _grid(top: int) -> list[Markup]:
    base = RATE + BARS
    return [
        Markup('<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(LEFT, WIDTH, y)
        for y in (4, RATE - 8, RATE, base)
    ] + [
        Markup('<text class="axis" x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 5, y, words)
        for y, words in ((9, "100 %"), (RATE - 4, "50 %"), (RATE + 10, f"{top:,}"), (base, "0"))
    ]


def _line(volumes: Sequence[Volume], width: float) -> Markup:
    """The delivery rate from 50 to 100 per cent; less than 50 lies on the lower edge. Steps without a rate interrupt it."""
    commands: list[str] = []
    pen = "M"
    for index, volume in enumerate(volumes):
        rate = volume.rate
        if rate is None:
            pen = "M"
            continue
        y = 4 + (1 - max((rate - 0.5) * 2, 0)) * (RATE - 12)
        # h0 makes a dot of a step that stands alone.
        commands.append(f"{pen}{LEFT + (index + 0.5) * width:.1f} {y:.1f}" + ("h0" if pen == "M" else ""))
        pen = "L"
    return Markup('<path class="rate" d="{}"/>').format(" ".join(commands))


def _times(volumes: Sequence[Volume], width: float) -> list[Markup]:
    """The time of every sixth part of the picture."""
    every = max(len(volumes) // 6, 1)
    return [
        Markup('<text class="axis" x="{:.1f}" y="{}">{}</text>').format(
            LEFT + index * width, RATE + BARS + 14, f"{volumes[index].at.astimezone(UTC):%H:%M}"
        )
        for index in range(0, len(volumes), every)
    ]
