"""Leaving: a machine goes out of the cluster in order, and only when a person has said so."""

from components.retire.gate import Gate, Leaving, RetireError
from components.retire.removal import Removal

__all__ = ["Gate", "Leaving", "Removal", "RetireError"]
