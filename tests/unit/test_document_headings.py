"""The documents' headings."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "grafana/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_heading_is_there_once(name: str) -> None:
    """A second section of the same name is not reached by a link, and says half of what the first one does."""
    text = re.sub(r"^```.*?^```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    sections = Counter(re.findall(r"^## (.+)$", text, re.MULTILINE))
    assert [heading for heading, number in sections.items() if number > 1] == []
