"""The runbook as one HTML page, which Grafana serves beside the dashboards.

An alert and a table of firing alerts link to a chapter by the alert's name, so each chapter has two anchors: the name as it
is, and in lower case as Markdown's own viewers make it. The page needs no login, no script and no other file: it opens when
Prometheus, the database and the tracker are down.
"""

import re
from html import escape
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt

RUNBOOK: Final = Path(__file__).parents[1] / "RUNBOOK.md"
PAGE: Final = Path(__file__).parents[1] / "public" / "runbook.html"

PATH: Final = "/public/tracker/runbook.html"
"""Where Grafana serves the page, below its own address."""

_CHAPTER: Final = re.compile(r"<h2>(\w+)</h2>")

_STYLE: Final = """
body { max-width: 50em; margin: 2em auto; padding: 0 1em; font: 16px/1.5 sans-serif; color-scheme: light dark; }
pre { overflow-x: auto; padding: 0.6em; border: 1px solid; }
table { border-collapse: collapse; }
td, th { border: 1px solid; padding: 0.2em 0.6em; text-align: left; }
h2 { margin-top: 2.5em; border-top: 2px solid; padding-top: 0.5em; }
a:target + h2, h2:target { background: Mark; color: MarkText; }
""".strip()


def render_page(markdown: str) -> str:
    """The page for the text of the runbook. Raw HTML in it is shown as text."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    body = _CHAPTER.sub(
        lambda chapter: f'<a id="{chapter[1].lower()}"></a>\n<h2 id="{chapter[1]}">{chapter[1]}</h2>', body
    )
    title = escape(markdown.partition("\n")[0].removeprefix("# "))
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
