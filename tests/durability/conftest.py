"""Fixtures for proof by violence."""

from tests.durability.chance import rng
from tests.durability.figures import figures

__all__ = ["figures", "rng"]
