"""The seed: what a Ready cluster needs to grow the rest of itself from git, planted once."""

from components.seed.seed import Seed, SeedArgs

__all__ = ["Seed", "SeedArgs"]
