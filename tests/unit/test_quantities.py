"""Durations and sizes: what is read, what is refused, and how they are written."""

import pytest

from tracker.quantities import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0.8", 0.8), ("2", 2.0), ("800ms", 0.8), ("1500 MS", 1.5), ("30s", 30.0), (" 2m ", 120.0), ("2min", 120.0), ("1h", 3600.0),
        ("1.5h", 5400.0), ("7d", 604800.0), ("0", 0.0),
    ],
)  # fmt: skip
def test_durations_are_read(text: str, seconds: float) -> None:
    """A number and a unit, in seconds; a number alone means seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "soon", "-1s", "+1s", "1e3", "1,5s", ".5s", "1s30", "1m30s", "1 week", "nan", "inf", "١s", "9" * 19],
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    """Neither signs nor exponents, and digits of ASCII only."""
    with pytest.raises(ValueError, match="800ms, 30s or 1h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1048576), ("10B", 10), ("1KiB", 1024), ("1kB", 1000), ("512 mib", 512 * 1024**2), ("1GiB", 1024**3),
        ("1GB", 1000**3), ("0.5GiB", 1024**3 // 2), ("2TiB", 2 * 1024**4), ("2TB", 2 * 1000**4),
    ],
)  # fmt: skip
def test_sizes_are_read(text: str, size: int) -> None:
    """KiB to TiB are powers of 1024, kB to TB powers of 1000."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "much", "-1GiB", "1G", "1 PiB", "0.5B", "1.1KiB", "0x10"])
def test_what_is_no_size_is_refused_with_examples(text: str) -> None:
    """Also a single letter, which programs understand in two ways, and parts of a byte."""
    with pytest.raises(ValueError, match="512MiB or 1GiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.8, "800ms"), (10, "10s"), (90, "90s"), (120, "2m"), (3600, "1h"), (86400, "1d")],
)
def test_durations_are_written_as_they_are_read(seconds: float, text: str) -> None:
    """In the largest unit without a fraction."""
    assert format_duration(seconds) == text
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (1500, "1500B"), (1024, "1KiB"), (1024**3, "1GiB"), (1536 * 1024**2, "1536MiB")]
)
def test_sizes_are_written_as_they_are_read(size: int, text: str) -> None:
    """In the largest power of 1024 without a fraction."""
    assert format_size(size) == text
    assert parse_size(text) == size
