"""``python -m grafana.builder``: writes dashboards and the runbook's page; ``--check`` names those that are out of date."""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from grafana.builder import audit, delivery, errors, pipeline, runbook

DASHBOARDS: Final = Path(__file__).parents[1] / "dashboards"


def rendered() -> dict[str, str]:
    """File name to content, of every dashboard."""
    dashboards = [delivery.dashboard(), errors.dashboard(), pipeline.dashboard(), audit.dashboard()]
    return {
        f"{dashboard.uid.removeprefix('tracker-')}.json": json.dumps(dashboard.json(), indent=2, ensure_ascii=False)
        + "\n"
        for dashboard in dashboards
    }


def rendered_runbook() -> str:
    """The page of ``grafana/RUNBOOK.md``."""
    return runbook.render_page(runbook.RUNBOOK.read_text(encoding="utf-8"))


def out_of_date(folder: Path) -> list[str]:
    """What in the folder is not as the builder would write it: changed, missing or left over."""
    wanted = rendered()
    present = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def main() -> int:
    """Exit code 0, or 1 where ``--check`` found a difference."""
    parser = argparse.ArgumentParser(
        prog="python -m grafana.builder", description="Write the Grafana dashboards and the page of the runbook."
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 and name the files that are out of date"
    )
    if parser.parse_args().check:
        stale = [f"dashboards/{name}" for name in out_of_date(DASHBOARDS)]
        if not runbook.PAGE.exists() or runbook.PAGE.read_text(encoding="utf-8") != rendered_runbook():
            stale.append(f"public/{runbook.PAGE.name}")
        for name in stale:
            print(f"grafana/{name} is out of date: run python -m grafana.builder", file=sys.stderr)
        return 1 if stale else 0
    for name, text in rendered().items():
        (DASHBOARDS / name).write_text(text, encoding="utf-8")
    runbook.PAGE.write_text(rendered_runbook(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
