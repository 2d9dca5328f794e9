"""``python -m tests.durability``, or ``make chaos``: runs the durability tests in rounds, each with another seed, until one fails."""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.durability.chance import VARIABLE, new_seed

_OUTCOME = re.compile(r"^=* ?(\d+ \w+.*?) in [\d.]+s", re.MULTILINE)
_FIGURES = re.compile(r"^=+ figures =+$.*?^VIOLENCE_SEED", re.MULTILINE | re.DOTALL)


def main() -> int:
    """0 when every round passed; 1 at the first that did not, whose output is shown."""
    arguments = _parse()
    started = time.monotonic()
    output = ""
    for number in range(1, arguments.rounds + 1):
        seed = arguments.seed if number == 1 and arguments.seed is not None else new_seed()
        began = time.monotonic()
        code, output = _run(seed, arguments.pytest)
        outcome = _OUTCOME.search(output)
        said = outcome[1] if outcome else f"pytest ended with {code}"
        print(
            f"round {number}/{arguments.rounds}  seed {seed:<9}  {time.monotonic() - began:5.0f} s  {said}", flush=True
        )
        if code != 0:
            print(output)
            print(f"round {number} of {arguments.rounds} failed; SEED={seed} repeats what was left to chance")
            return 1
    figures = _FIGURES.search(output)
    if figures:
        print(f"figures of the last round\n{figures[0].partition(chr(10))[2].rpartition(chr(10))[0]}")
    print(f"{arguments.rounds} rounds in a row passed, in {time.monotonic() - started:.0f} s")
    return 0


def _run(seed: int, pytest_arguments: list[str]) -> tuple[int, str]:
    """One round: pytest's exit code, and what it printed."""
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", str(Path(__file__).parent), *pytest_arguments],
        env={**os.environ, VARIABLE: str(seed)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return finished.returncode, finished.stdout


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.durability", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="how often everything is run (10)")
    parser.add_argument("--seed", type=int, help="of the first round; by default a new one, as in all others")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
