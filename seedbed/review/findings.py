"""What the parts of a review find: risks by class, and which resources they have told of."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Class(StrEnum):
    """What can be lost; in the order of the report."""

    DATA = "data"
    QUORUM = "quorum"
    NETWORK = "network"
    IDENTITY = "identity"
    PROTECTION = "protection"
    """An option of a resource that kept one of the others from being lost."""
    COST = "cost"


@dataclass(frozen=True)
class Risk:
    """One risk, in Markdown; the resources `about` (URNs) need no line of their own."""

    of: Class
    text: str
    about: frozenset[str] = frozenset()


def told(risks: Iterable[Risk]) -> set[str]:
    """The resources that the risks tell of."""
    return {urn for risk in risks for urn in risk.about}
