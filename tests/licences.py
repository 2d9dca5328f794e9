"""``python -m tests.licences``: lists the licence of each package that the program installs, and refuses what is not permitted.

The packages are those of requirements.lock. Their licences come from the metadata of what is installed: the SPDX expression, else
the classifiers, else the first line of the licence field.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Final

LOCK: Final = Path(__file__).parents[1] / "requirements.lock"

COPYLEFT: Final = re.compile(r"\b(?:A|L)?GPL|Affero|General Public License", re.IGNORECASE)
"""Licences of the GNU family. Everything of the program is MIT, and can only be combined with the LGPL among them."""

PERMITTED: Final = re.compile(
    r"\b(?:MIT|BSD|Apache|PSF|Python Software Foundation|MPL|Mozilla Public License|ISC|0BSD|Unlicense)\b",
    re.IGNORECASE,
)
"""Permissive licences, and the MPL, whose copyleft ends at the file."""

EXCEPTIONS: Final[Mapping[str, str]] = {
    "psycopg": "LGPL-3.0-only",
    "psycopg-binary": "LGPL-3.0-only",
    "psycopg-pool": "LGPL-3.0-only",
}
"""psycopg alone may be LGPL: it is imported unchanged, from its own wheel, which a user can replace."""


def locked_packages() -> list[str]:
    """Names of the packages of the program, in the order of the lock."""
    return re.findall(r"^([A-Za-z0-9][\w.-]*)==", LOCK.read_text("utf-8"), re.MULTILINE)


def licence_of(package: str) -> str:
    """The licence of an installed package as its metadata state it; empty where they state none.

    Raises PackageNotFoundError.
    """
    stated = metadata(package)
    expression = _first(stated.get_all("License-Expression"))
    if expression:
        return expression
    classifiers = [
        name.rpartition(" :: ")[2] for name in stated.get_all("Classifier") or () if name.startswith("License ::")
    ]
    return " OR ".join(classifiers) or _first(stated.get_all("License"))


def _first(values: Sequence[str] | None) -> str:
    """The first line of the first value; empty without one."""
    lines = "".join(values or ()).strip().splitlines()
    return lines[0].strip() if lines else ""


def find_refusal(package: str, licence: str) -> str | None:
    """Reason why the program may not install a package; None if it may."""
    if licence == EXCEPTIONS.get(package):
        return None
    if COPYLEFT.search(licence):
        return "copyleft"
    return None if PERMITTED.search(licence) else "unknown licence"


def main() -> int:
    """Exit code: 1 if a package is refused or not installed."""
    refused = 0
    for package in locked_packages():
        try:
            licence = licence_of(package)
        except PackageNotFoundError:
            licence, reason = "", "not installed"
        else:
            reason = find_refusal(package, licence)
        refused += reason is not None
        print(f"{package:<24} {licence or '-':<40} {reason or ''}".rstrip())
    return int(refused > 0)


if __name__ == "__main__":
    sys.exit(main())
