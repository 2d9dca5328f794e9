"""Chance, repeatable: one seed for a run, printed at its end, and from it a generator for each test."""

import os
import random
import secrets

import pytest

VARIABLE = "VIOLENCE_SEED"
"""Environment variable: the seed of this run. Unset: a new one each time."""


def choose_seed() -> None:
    """Before other processes are started, so that all have the same."""
    os.environ.setdefault(VARIABLE, str(new_seed()))


def new_seed() -> int:
    """Short enough to be typed."""
    return secrets.randbelow(10**9)


def seed() -> str:
    """Of this run."""
    return os.environ[VARIABLE]


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """A generator of the test's own: what other tests draw changes nothing."""
    return random.Random(f"{seed()} {request.node.nodeid}")
