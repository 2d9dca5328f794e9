"""Durations and sizes as people write them: ``30s``, ``1h``, ``500ms``, ``1GiB``, and plain numbers."""

import re
from decimal import Decimal
from typing import Final

_QUANTITY: Final = re.compile(r"(?P<number>[0-9]{1,18}(?:\.[0-9]{1,9})?)\s*(?P<unit>[A-Za-z]*)", re.ASCII)

_SECONDS: Final = {
    "": Decimal(1),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "min": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_BYTES: Final = {
    "": Decimal(1),
    "b": Decimal(1),
    **{f"{prefix}ib": Decimal(1024**power) for power, prefix in enumerate("kmgt", start=1)},
    **{f"{prefix}b": Decimal(1000**power) for power, prefix in enumerate("kmgt", start=1)},
}


def parse_duration(text: str) -> float:
    """Seconds. The unit is ms, s, m, min, h or d in any case; a number without a unit means seconds.

    Raises ValueError with a sentence that gives examples.
    """
    seconds = _parse(text, _SECONDS)
    if seconds is None:
        raise ValueError("must be a duration, such as 800ms, 30s or 1h; a number alone means seconds")
    return float(seconds)


def parse_size(text: str) -> int:
    """Bytes. The unit is B, KiB to TiB (powers of 1024) or kB to TB (powers of 1000) in any case; a number without a unit means bytes.

    Raises ValueError with a sentence that gives examples; a fraction of a byte is an error.
    """
    size = _parse(text, _BYTES)
    if size is None or size != int(size):
        raise ValueError("must be a size, such as 512MiB or 1GiB; a number alone means bytes")
    return int(size)


def format_duration(seconds: float) -> str:
    """The duration in the largest unit that has no fraction: ``800ms``, ``90s``, ``1h``."""
    milliseconds = round(seconds * 1000)
    for unit, factor in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % factor == 0:
            return f"{milliseconds // factor}{unit}"
    return f"{milliseconds}ms"


def format_size(size: int) -> str:
    """The size in the largest power of 1024 that has no fraction: ``1GiB``, ``1500B``."""
    for unit, power in (("TiB", 4), ("GiB", 3), ("MiB", 2), ("KiB", 1)):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return f"{size}B"


def _parse(text: str, units: dict[str, Decimal]) -> Decimal | None:
    found = _QUANTITY.fullmatch(text.strip())
    factor = units.get(found["unit"].lower()) if found else None
    return None if found is None or factor is None else Decimal(found["number"]) * factor
