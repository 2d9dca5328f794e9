"""Fixtures of the durability tests."""

from tests.durability.chance import rng
from tests.durability.figures import figures

__all__ = ["figures", "rng"]
